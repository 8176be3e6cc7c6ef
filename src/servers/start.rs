//! What a server logs when it starts.

use super::server::FTPServer;
use crate::handlers::ListenTls;
use crate::log::TARGET;

impl FTPServer {
    /// Logs the settings that a user may want to look up.
    pub(super) fn log_start(&self, prefork: &str) {
        let (config, limits) = (&self.config, &self.state.limits);
        let none = || "None".to_owned();
        let ports = config.passive_ports.as_ref();
        let ports = ports.and_then(|ports| Some(format!("{}->{}", ports.first()?, ports.last()?)));
        let masquerade = config.masquerade_address.clone();
        log::info!(target: TARGET, "concurrency model: {prefork}{}", self.model.name());
        log::info!(target: TARGET, "masquerade (NAT) address: {}", masquerade.unwrap_or_else(none));
        log::info!(target: TARGET, "passive ports: {}", ports.unwrap_or_else(none));
        let of_server = match config.tls_settings() {
            None => ListenTls::Off,
            Some(tls) if tls.implicit => ListenTls::Implicit,
            Some(_) => ListenTls::Explicit,
        };
        for place in &self.places {
            let tls = match place.config.listener.tls.unwrap_or(of_server) {
                ListenTls::Off => "off",
                ListenTls::Explicit => "explicit",
                ListenTls::Implicit => "implicit",
            };
            if self.places.len() == 1 {
                if tls != "off" {
                    log::info!(target: TARGET, "TLS: {tls}");
                }
                break;
            }
            let masquerade = place.config.listener.masquerade_address;
            let masquerade = masquerade.map(|ip| format!(", masquerade (NAT) address: {ip}"));
            log::info!(
                target: TARGET,
                "listening on {}, TLS: {tls}{}", place.address, masquerade.unwrap_or_default()
            );
        }
        log::debug!(target: TARGET, "use sendfile(2): {}", config.use_sendfile);
        log::debug!(target: TARGET, "max connections: {}", limit_text(limits.max_cons()));
        log::debug!(target: TARGET, "max connections per ip: {}", limit_text(limits.max_cons_per_ip()));
        log::debug!(target: TARGET, "max connections per user: {}", limit_text(limits.max_cons_per_user()));
        log::debug!(target: TARGET, "timeout: {:?}", config.timeout);
        log::debug!(target: TARGET, "banner: {:?}", config.banner);
        log::debug!(target: TARGET, "max login attempts: {}", config.max_login_attempts);
    }
}

fn limit_text(limit: usize) -> String {
    match limit {
        0 => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}
