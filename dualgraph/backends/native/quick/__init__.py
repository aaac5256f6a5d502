"""The quick path: eager ops whose plan is known, run natively from the call to the tape entry."""
