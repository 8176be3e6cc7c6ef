//! Every unsafe block of the crate: system calls that std does not have, behind safe signatures.
