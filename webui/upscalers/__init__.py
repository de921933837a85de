"""Enlarging pictures: by Pillow's filters, and by networks that spandrel knows, tile by tile."""
