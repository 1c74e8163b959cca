"""``manage.py demo``: a furnished call center, callers who ring it, their stories, and what it all came to."""
