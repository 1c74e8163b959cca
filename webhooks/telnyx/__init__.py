"""What we know of Telnyx's wire: client, errors, records, events, signature. No Django here but in ``conf``."""
