//! Peers that are not ours: CPython's `ssl`, OpenSSL, curl.
