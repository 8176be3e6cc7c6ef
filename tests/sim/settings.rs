//! From the settings of a scene to those of a server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ftpdlib::authorizers::{
    Authorizer, Client, DummyAuthorizer, LaterVerdict, Perms, UserOptions, Verdict,
};
use ftpdlib::proto::encoding::{Encoding as Charset, UnicodeErrors};
use ftpdlib::{AuthenticationFailed, FTPConfig, ThrottledDTPHandler, TlsConfig};

use crate::disk::Disk;
use crate::plan::scene::{Answers, Encoding, Scene, Settings, Tls};
use crate::script::Script;
use crate::tls::Certificate;

/// The settings of the server of a world.
pub fn config(script: &Script, disk: &Disk, late: &Late) -> FTPConfig {
    let scene = &script.scene;
    let settings = &scene.settings;
    let mut config = FTPConfig::default();
    let time = |time: Duration| (!time.is_zero()).then_some(time);
    config.banner.clone_from(&settings.banner);
    config.timeout = time(settings.timeout);
    config.login_timeout = time(settings.login_timeout);
    config.dtp.timeout = time(settings.data_timeout);
    config.passive_dtp.timeout = time(settings.passive_timeout);
    config.active_dtp.timeout = time(settings.active_timeout);
    (config.dtp.ac_in_buffer_size, config.dtp.ac_out_buffer_size) = script.buffers;
    if script.ports > 0 {
        let ports = FIRST_PORT..FIRST_PORT + script.ports;
        config.passive_ports = Some(ports.collect());
    }
    config.auth_failed_timeout = settings.auth_failed_timeout;
    config.max_login_attempts = settings.max_login_attempts;
    // The model knows the delay of each session only.
    config.guard.max_delay = Duration::ZERO;
    config.permit_foreign_addresses = settings.permit_foreign;
    config.permit_privileged_ports = settings.permit_privileged;
    config.upload_lock = settings.upload_lock;
    (config.encoding, config.unicode_errors) = match settings.encoding {
        Encoding::Utf8 => (Charset::UTF_8, UnicodeErrors::Replace),
        Encoding::Utf8Strict => (Charset::UTF_8, UnicodeErrors::Strict),
        Encoding::Latin1 => (Charset::LATIN_1, UnicodeErrors::Replace),
    };
    config.tls = tls(settings);
    if settings.throttle != (0, 0) {
        let (down, up) = settings.throttle;
        config.set_dtp_handler(move || {
            let handler = ThrottledDTPHandler::new();
            handler.write_limit(down).read_limit(up)
        });
    }
    config.set_authorizer(Table::new(scene, disk.clone(), late.clone()));
    config.set_abstracted_fs(disk.clone());
    config
}

fn tls(settings: &Settings) -> Option<TlsConfig> {
    if settings.tls == Tls::Off {
        return None;
    }
    let mut tls = Certificate::shared().server();
    tls.tls_control_required = matches!(settings.tls, Tls::ControlRequired | Tls::AllRequired);
    tls.tls_data_required = settings.tls == Tls::AllRequired;
    Some(tls)
}

/// The users of a scene. Their homes are on the disk in memory, so that [`DummyAuthorizer`] cannot
/// find them by itself.
struct Table {
    users: DummyAuthorizer,
    homes: HashMap<String, PathBuf>,
    answers: Answers,
    disk: Disk,
    late: Late,
}

impl Table {
    fn new(scene: &Scene, disk: Disk, late: Late) -> Self {
        let users = DummyAuthorizer::new();
        let mut homes = HashMap::new();
        for user in &scene.users {
            let options = UserOptions {
                perm: user.perms.parse::<Perms>().expect("letters of permissions"),
                msg_login: user.msg_login.clone(),
                msg_quit: user.msg_quit.clone(),
            };
            let added = users.add_user_with(&*user.name, &*user.password, "/", options);
            added.expect("a user with a new name");
            let root = &scene.homes[user.home].root;
            homes.insert(user.name.clone(), PathBuf::from(root));
        }
        let answers = scene.settings.authorizer;
        Self {
            users,
            homes,
            answers,
            disk,
            late,
        }
    }
}

impl Authorizer for Table {
    fn inner(&self) -> &dyn Authorizer {
        &self.users
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let result = self.validate_authentication(username, password, client);
        match self.answers {
            Answers::AtOnce => Verdict::Now(result),
            Answers::Job => later().offload(move || result),
            Answers::Later(delay) => {
                self.late.add(delay, later(), result);
                Verdict::Later
            }
        }
    }

    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        let home = self.homes.get(username).cloned();
        home.ok_or_else(AuthenticationFailed::default)
    }

    fn impersonate_user(&self, username: &str, _password: &str) {
        let mut state = self.disk.lock();
        state.identities += 1;
        if state.identities > 1 {
            state.break_identity(format!("a step of {username} began inside of another one"));
        }
    }

    fn terminate_impersonation(&self, username: &str) {
        let mut state = self.disk.lock();
        if state.identities == 0 {
            state.break_identity(format!("a step of {username} has ended twice"));
        }
        state.identities = state.identities.saturating_sub(1);
    }
}

/// Answers of the authorizer that are still to come.
#[derive(Clone, Default)]
pub struct Late(Arc<Mutex<Answering>>);

#[derive(Default)]
struct Answering {
    now: Duration,
    waiting: Vec<Answer>,
}

struct Answer {
    at: Duration,
    verdict: LaterVerdict,
    result: Result<(), AuthenticationFailed>,
}

impl Late {
    fn lock(&self) -> MutexGuard<'_, Answering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        delay: Duration,
        verdict: LaterVerdict,
        result: Result<(), AuthenticationFailed>,
    ) {
        let mut answering = self.lock();
        let at = answering.now + delay;
        let answer = Answer {
            at,
            verdict,
            result,
        };
        answering.waiting.push(answer);
    }

    /// When the next answer is due.
    pub fn next(&self) -> Option<Duration> {
        self.lock().waiting.iter().map(|answer| answer.at).min()
    }

    /// Gives the answers that are due. Returns whether there were any.
    pub fn answer(&self, now: Duration) -> bool {
        let mut answering = self.lock();
        answering.now = now;
        let waiting = std::mem::take(&mut answering.waiting);
        let (due, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|x| x.at <= now);
        answering.waiting = rest;
        drop(answering);
        let any = !due.is_empty();
        for answer in due {
            answer.verdict.answer(answer.result);
        }
        any
    }
}

/// The first of the ports for passive data connections. The network draws from others.
const FIRST_PORT: u16 = 20_000;
