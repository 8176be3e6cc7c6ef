//! Where the server listens: `[[listen]]`, or `address` and `port` of `[server]` and the options.

use ftpdlib::ListenTls;

use super::error::{ConfigError, Origin};
use super::listener::Listener;
use super::settings::Settings;

/// Checks that the address and the port come from one place, and makes the listener of a server
/// that has only one.
pub(super) fn apply(settings: &mut Settings) -> Result<(), ConfigError> {
    if settings.listeners.is_empty() {
        settings.listeners = vec![Listener::only(&settings.address, settings.port)];
        return Ok(());
    }
    for key in ["address", "port"] {
        match settings.origin("server", key) {
            Some(origin @ Origin::Option(_)) => {
                let text = "excludes [[listen]] of the file, which says where to listen";
                return Err(origin.error(text));
            }
            Some(origin @ Origin::Line { .. }) => {
                let text = "excludes [[listen]]; use only one of them";
                return Err(origin.error(text));
            }
            None => {}
        }
    }
    Ok(())
}

/// Checks the TLS modes, once `[tls]` and its options are known.
pub(super) fn check_tls(settings: &Settings) -> Result<(), ConfigError> {
    let tls = settings.handler.tls.as_ref();
    let required = tls.is_some_and(|tls| tls.tls_control_required || tls.tls_data_required);
    let implicit = settings.origin("tls", "implicit");
    let by_option = implicit.filter(|origin| matches!(origin, Origin::Option(_)));
    for listener in &settings.listeners {
        match (listener.tls, tls) {
            (Some(ListenTls::Explicit | ListenTls::Implicit), None) => {
                let text = "requires [tls], which has the certificate";
                return Err(listener.error("tls", text));
            }
            (Some(ListenTls::Off), _) if required => {
                let text = "\"off\" excludes tls_control_required and tls_data_required, with which \
                            nobody could log in there";
                return Err(listener.error("tls", text));
            }
            (Some(_), _) => {
                if let Some(origin) = by_option {
                    let text = "excludes the key 'tls' of [[listen]]; use only one of them";
                    return Err(origin.error(text));
                }
            }
            (None, _) => {}
        }
    }
    Ok(())
}
