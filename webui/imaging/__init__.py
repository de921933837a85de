"""Pictures as files and as numbers: saving, metadata, names, conversions."""
