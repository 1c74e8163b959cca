"""``manage.py chaos``: the whole service on real stores, with faults and kills, and what it all came to."""
