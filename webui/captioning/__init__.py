"""Pictures put into words: captions and tags from model folders that the user has put there."""
