//! The addresses in replies to PASV: host names among them are resolved.

use std::net::Ipv4Addr;

use ftpdlib::FTPServer;

use super::error::ConfigError;
use super::listener;
use super::settings::Settings;

/// Puts an IPv4 address in place of each host name, and remembers the names. Waits for the answers.
///
/// # Errors
/// One line about a name that has no IPv4 address.
pub(crate) fn resolve(settings: &mut Settings) -> Result<(), ConfigError> {
    let handler = &mut settings.handler;
    let general = handler.masquerade_address.iter_mut();
    let general = general.map(|text| ("masquerade_address", None, text));
    let by_local = handler.masquerade_address_map.iter_mut();
    let by_local = by_local.map(|(local, text)| ("masquerade_address_map", Some(*local), text));
    let mut wrong = None;
    for (key, local, text) in general.chain(by_local) {
        match FTPServer::resolve_masquerade_name(text) {
            Ok(_) if text.parse::<Ipv4Addr>().is_ok() => {}
            Ok(address) => {
                let name = std::mem::replace(text, address.to_string());
                settings.masquerade_names.push((local, name));
            }
            Err(err) => wrong = wrong.or(Some((key, err))),
        }
    }
    let Some((key, err)) = wrong else {
        return listener::resolve_masquerade(&mut settings.listeners);
    };
    let text = err.to_string();
    Err(match settings.origin("handler", key) {
        Some(origin) => origin.error(&format!("needs an IPv4 address: {text}")),
        None => ConfigError(text),
    })
}
