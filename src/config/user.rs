//! The user that the server runs as: `user` and `group` of `[server]`.

use std::fs;
use std::path::PathBuf;

use ftpdlib::RunAs;

use super::error::ConfigError;
use super::settings::Settings;

/// Looks the user up, and checks that it can do what the server needs after the switch.
pub(super) fn apply(settings: &mut Settings) -> Result<(), ConfigError> {
    let Some(user) = &settings.user else {
        if let Some(origin) = settings.origin("server", "group") {
            return Err(origin.error("requires user, since a group alone takes nothing from root"));
        }
        return Ok(());
    };
    let group = settings.group.as_deref();
    let wrong = |key, text: String| match settings.origin("server", key) {
        Some(origin) => origin.error(&text),
        None => ConfigError(text),
    };
    let run_as = RunAs::new(user, group).map_err(|err| {
        let alone = RunAs::new(user, None);
        let key = if alone.is_ok() { "group" } else { "user" };
        wrong(key, err.to_string())
    })?;
    let allowed = run_as.try_as(|| ());
    allowed.map_err(|err| wrong("user", err.to_string()))?;
    for file in settings.handler.tls.iter().flat_map(|tls| tls.files()) {
        let checked = run_as.check_readable(file);
        checked.map_err(|err| wrong("user", format!("{err}; SIGHUP reads it again")))?;
    }
    let closed = run_as.try_as(|| closed_homes(settings));
    let mut closed = closed.map_err(|err| wrong("user", err.to_string()))?;
    let more = closed.len().saturating_sub(HOMES_NAMED);
    closed.truncate(HOMES_NAMED);
    let user = run_as.user().to_owned();
    if !closed.is_empty() {
        let mut names = closed.join(", ");
        if more > 0 {
            names += &format!(" and {more} more");
        }
        let text = format!("user {user} cannot open the homes of these accounts: {names}");
        settings.warnings.push(text);
    }
    warn_about_ports(settings, &user);
    settings.run_as = Some(run_as);
    Ok(())
}

/// The accounts whose homes this process cannot open. They may become readable later.
fn closed_homes(settings: &Settings) -> Vec<String> {
    let is_closed = |home: &PathBuf| fs::metadata(home.join(".")).is_err();
    let homes = settings.homes.iter();
    let closed = homes.filter(|(_, home)| is_closed(home));
    closed.map(|(name, _)| name.clone()).collect()
}

/// Only root may listen on some ports.
fn warn_about_ports(settings: &mut Settings, user: &str) {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|text| text.trim().parse().ok());
    let first: u16 = first.unwrap_or(1024);
    let ports = settings.handler.passive_ports.iter().flatten();
    if user != "root" && ports.clone().any(|port| *port < first) {
        settings.warnings.push(format!(
            "handler.passive_ports: user {user} cannot listen on ports below {first}, which are \
             skipped"
        ));
    }
}

/// A warning if the server is to stay root, which no kind of account needs.
pub(crate) fn root_warning(settings: &Settings) -> Option<&'static str> {
    let run_as = settings.run_as.as_ref();
    let stays = run_as.is_none_or(|run_as| run_as.user() == "root");
    (stays && rustix::process::geteuid().is_root()).then_some(
        "the server runs as root, although no account needs it; set user in [server], or start it \
         as another user",
    )
}

/// How many accounts a warning names.
const HOMES_NAMED: usize = 5;
