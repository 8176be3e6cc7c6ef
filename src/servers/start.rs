//! What a server logs when it starts.

use super::server::FTPServer;
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
        if let Some(tls) = &self.state.tls {
            let kind = if tls.config.implicit {
                "implicit"
            } else {
                "explicit"
            };
            log::info!(target: TARGET, "TLS: {kind}");
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
