"""Binary quantizers: lookup-free (LFQ) and spherical (BSQ)."""
