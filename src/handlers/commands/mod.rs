//! The stock bodies of the commands: what an override of a method of
//! [`FTPHandler`](crate::FTPHandler) calls as "super". The body of `ftp_dele` is [`dele`].
//!
//! Each replies; none waits, and none touches the poll. A body that calls back another method,
//! which may be overridden too, takes the handler first.

mod files;
mod info;
mod listing;
pub(crate) mod login;
mod names;
mod site;
mod status;
pub(crate) mod tls;
pub(crate) mod transfer;

pub use self::files::{cwd, dele, mdtm, mfmt, mkd, pwd, rmd, rnfr, rnto, size};
pub use self::info::{allo, custom, feat, help, mode, noop, opts, stru, syst, type_};
pub use self::listing::{list, mlsd, mlst, nlst};
pub use self::login::{
    flush_account, handle, handle_auth_failed, handle_auth_success, handle_login_timeout,
    handle_max_cons, handle_max_cons_per_ip, handle_max_cons_per_user, handle_refused_address,
    handle_timeout, pass, quit, rein, user,
};
pub use self::site::{site_chmod, site_help};
pub use self::status::stat;
pub use self::tls::{auth, handle_failed_ssl_handshake, pbsz, prot, secure_connection};
pub use self::transfer::{abor, appe, rest, retr, stor, stou};
pub use super::dispatchers::{eprt, epsv, pasv, port};
pub use super::transfers::{push_dtp_data, receive_dtp_data};
