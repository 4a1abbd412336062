//! Connections that are made, and those that are not.
