"""The library: every model file in the user's folders, what it is, and what people wrote about it. No torch in here."""
