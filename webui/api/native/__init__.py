"""The routes of our own, /api/v1: requests, jobs, events and lists as plain typed data."""
