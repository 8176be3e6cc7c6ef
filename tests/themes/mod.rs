//! What the server does, theme by theme: for each of the binaries that run this,
//! in clear and over TLS.

mod attacks;
mod bad_input;
mod callbacks;
mod configurable_options;
mod corner_cases;
mod ftp_abort;
mod ftp_authentication;
mod ftp_cmds_semantic;
mod ftp_dummy_cmds;
mod ftp_fs_operations;
mod ftp_listing_cmds;
mod ftp_pipelining;
mod ftp_retrieve_data;
mod ftp_store_data;
mod ftp_urgent;
mod hook_panics;
mod network_protocols;
mod overrides;
mod regressions;
mod servers;
mod throttle_bandwidth;
mod timeouts;
mod transcripts;
