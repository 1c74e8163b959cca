"""A local Telnyx: a program with a port, and in tests an in-process transport.

It stands outside the product: no Django, no Celery, no app. ``world`` holds the truth, the modules beside it say
how the truth changes (``legs``, ``queueing``, ``conferencing``, ``endings`` …), ``api`` answers Telnyx's requests,
``delivery`` tells what happened, ``control`` is the face for tests (``/_sim/``), ``simulator`` puts them together.
"""
