//! Clients that guess passwords. Each test is the attack.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, Verdict};
use ftpdlib::testing::Server;
use ftpdlib::{AuthenticationFailed, FTPConfig};

use super::place::{Place, place};
use super::server::{Client, server};

const SECOND: Duration = Duration::from_secs(1);

/// With the stock delay of a wrong password.
fn place_with_delay() -> Place {
    let mut place = place();
    place.config.auth_failed_timeout = SECOND * 3;
    place
}

/// Moves the clock to the next reply. Returns it, and when it came.
fn next_reply(client: &Client<'_>) -> (Duration, String) {
    loop {
        let reply = client.receive();
        if !reply.is_empty() {
            return (client.server.now(), reply);
        }
        let next = client.server.next_deadline().expect("a reply is due");
        client.server.set_now(next);
    }
}

/// Logs in, and returns the reply and how long it took. The client stays if the reply is not the
/// last one.
fn log_in(client: &Client<'_>, user: &str, password: &str) -> (Duration, String) {
    let start = client.server.now();
    let reply = client.command(&format!("USER {user}"));
    assert!(reply.starts_with("331 "), "{reply}");
    client.send(&format!("PASS {password}"));
    let (end, reply) = next_reply(client);
    (end - start, reply)
}

fn connect<'a>(server: &'a Server, ip: &'static str) -> Client<'a> {
    let client = Client::new(server, ip);
    let greeting = client.receive();
    assert!(greeting.starts_with("220 "), "{greeting}");
    client
}

/// Guesses so many passwords, with a new connection for each. Returns how long each took.
fn guess(server: &Server, ip: &'static str, user: &str, count: usize) -> Vec<u64> {
    let one = |number| {
        let client = connect(server, ip);
        let (time, reply) = log_in(&client, user, &format!("guess{number}"));
        assert_eq!(reply, "530 Authentication failed.");
        time.as_secs()
    };
    (0..count).map(one).collect()
}

fn expect_login(server: &Server, ip: &'static str, user: &str, password: &str) -> Duration {
    let (time, reply) = log_in(&connect(server, ip), user, password);
    assert!(reply.starts_with("230 "), "{reply}");
    time
}

#[test]
fn each_failure_delays_the_next_ones_of_its_address() {
    let place = place_with_delay();
    let server = server(place.config.clone(), 1);
    let times = guess(&server, "10.0.0.9", "user", 9);
    assert_eq!(times, [3, 3, 3, 3, 4, 8, 15, 15, 15]);
    // Others do not notice.
    assert_eq!(guess(&server, "10.0.0.8", "user", 1), [3]);
    assert_eq!(
        expect_login(&server, "10.0.0.8", "user", "12345"),
        Duration::ZERO
    );
}

/// Counts how often it is asked.
struct Counting(DummyAuthorizer, Arc<AtomicUsize>);

impl Authorizer for Counting {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &authorizers::Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        self.1.fetch_add(1, Relaxed);
        self.0.validate_authentication(username, password, client)
    }
}

fn users(place: &Place) -> DummyAuthorizer {
    let users = DummyAuthorizer::new();
    for name in ["user", "other"] {
        users
            .add_user(name, "12345", place.home.path(), "elr")
            .unwrap();
    }
    users
}

/// Many connections, none of which waits for its reply.
#[test]
fn parallel_connections_do_not_guess_faster() {
    let mut place = place_with_delay();
    let asked = Arc::new(AtomicUsize::new(0));
    let users = Counting(users(&place), Arc::clone(&asked));
    place.config.set_authorizer(users);
    let server = server(place.config.clone(), 1);
    let mut clients = Vec::new();
    let minutes = 5;
    for second in 1..=minutes * 60 {
        for number in 0..5 {
            let client = Client::new(&server, "10.0.0.9");
            client.send(&format!("USER user{number}\r\nPASS guess{second}"));
            clients.push(client);
        }
        server.settle();
        server.set_now(SECOND * second);
        server.settle();
        clients.retain(|client| !client.receive().contains("421 "));
    }
    let guesses = asked.load(Relaxed);
    // Four each minute, after those of the beginning.
    let most = 8 + 4 * usize::try_from(minutes).unwrap();
    assert!((4..=most).contains(&guesses), "{guesses} guesses");
    // They do not hold many slots.
    assert!(server.sessions() < 50, "{} sessions", server.sessions());
    expect_login(&server, "10.0.0.8", "user", "12345");
}

#[test]
fn a_login_that_waits_too_long_is_refused() {
    let place = place_with_delay();
    let server = server(place.config.clone(), 1);
    guess(&server, "10.0.0.9", "user", 9);
    let clients: Vec<_> = (0..3).map(|_| connect(&server, "10.0.0.9")).collect();
    for client in &clients {
        client.command("USER other");
        client.send("PASS guess");
    }
    let refused = clients
        .iter()
        .filter(|client| {
            client.receive() == "421 Too many failed logins from your address. Try again later."
        })
        .count();
    assert_eq!(refused, 1);
}

/// An attacker with an account logs in after each guess.
#[test]
fn a_login_does_not_forgive_guesses_for_others() {
    let mut place = place_with_delay();
    let users = users(&place);
    place.config.set_authorizer(users);
    let server = server(place.config.clone(), 1);
    let mut times = Vec::new();
    for _ in 0..7 {
        times.extend(guess(&server, "10.0.0.9", "user", 1));
        expect_login(&server, "10.0.0.9", "other", "12345");
    }
    assert_eq!(times, [3, 3, 3, 3, 4, 8, 15]);
}

/// A user who mistypes, and then does not, begins anew.
#[test]
fn a_login_forgives_its_own_failures() {
    let place = place_with_delay();
    let server = server(place.config.clone(), 1);
    for _ in 0..3 {
        assert_eq!(guess(&server, "10.0.0.9", "user", 4), [3, 3, 3, 3]);
        expect_login(&server, "10.0.0.9", "user", "12345");
    }
}

#[test]
fn a_banned_address_gets_no_session() {
    let mut place = place_with_delay();
    place.config.guard.ban_after = 3;
    let server = server(place.config.clone(), 1);
    let before = connect(&server, "10.0.0.9");
    guess(&server, "10.0.0.9", "user", 3);
    let banned_at = server.now();
    let refused = Client::new(&server, "10.0.0.9");
    assert_eq!(refused.receive(), "");
    assert!(refused.stream.is_closed(), "it is still open");
    // Only the one from before is left.
    assert_eq!(server.sessions(), 1);
    expect_login(&server, "10.0.0.8", "user", "12345");
    // A session from before the ban guesses no more.
    before.command("USER user");
    let reply = before.command("PASS 12345");
    assert!(reply.starts_with("421 "), "{reply}");
    server.set_now(banned_at + place.config.guard.ban_time + SECOND);
    server.settle();
    expect_login(&server, "10.0.0.9", "user", "12345");
}

/// What goes wrong in the server.
#[derive(Clone, Copy)]
enum Broken {
    Unavailable,
    Forgotten,
    Homeless,
    Panics,
}

#[test]
fn what_goes_wrong_in_the_server_does_not_count() {
    for broken in [
        Broken::Unavailable,
        Broken::Forgotten,
        Broken::Homeless,
        Broken::Panics,
    ] {
        let mut place = place_with_delay();
        place.config.guard.ban_after = 1;
        let panics = matches!(broken, Broken::Panics);
        place.decide(move |_, later| match broken {
            Broken::Unavailable => {
                Verdict::Now(Err(AuthenticationFailed::unavailable("out of order")))
            }
            Broken::Forgotten => {
                drop(later());
                Verdict::Later
            }
            // There is no such user, which shows later.
            Broken::Homeless => Verdict::Now(Ok(())),
            Broken::Panics => std::panic::resume_unwind(Box::new("as planned")),
        });
        let server = server(place.config.clone(), 1);
        for _ in 0..10 {
            let client = connect(&server, "10.0.0.9");
            client.command("USER nobody");
            client.send("PASS 12345");
            if !panics {
                let (_, reply) = next_reply(&client);
                assert!(reply.starts_with("530 "), "{reply}");
            }
        }
    }
}

#[test]
fn loopback_is_left_out_unless_the_list_is_empty() {
    let place = place_with_delay();
    let guess = |config: FTPConfig| {
        let server = server(config, 1);
        guess(&server, "127.0.0.1", "user", 6)
    };
    assert_eq!(guess(place.config.clone()), [3; 6]);
    let mut config = place.config.clone();
    config.guard.allow = Vec::new();
    assert_eq!(guess(config), [3, 3, 3, 3, 4, 8]);
}

/// Clients that try `anonymous` first guess no password, if there is no such user.
#[test]
fn a_probe_for_anonymous_is_no_guess() {
    let mut place = place_with_delay();
    place.config.guard.ban_after = 5;
    let server = server(place.config.clone(), 1);
    for _ in 0..10 {
        let client = connect(&server, "10.0.0.9");
        let (took, reply) = log_in(&client, "anonymous", "x");
        assert!(reply.starts_with("530 "), "{reply}");
        assert!(took <= 3 * SECOND, "{took:?}");
    }
    expect_login(&server, "10.0.0.9", "user", "12345");
}

/// The failures are not forgotten before the delay that they cause is over.
#[test]
fn a_short_memory_does_not_take_the_delays_away() {
    let mut place = place_with_delay();
    place.config.guard.forget_after = SECOND;
    let server = server(place.config.clone(), 1);
    assert_eq!(guess(&server, "10.0.0.9", "user", 6), [3, 3, 3, 3, 4, 8]);
}

/// Somebody behind the same gateway has logged in as the user before.
#[test]
fn a_known_user_is_not_guessed_at_once() {
    let mut place = place_with_delay();
    let (sender, later) = std::sync::mpsc::channel();
    place.decide(move |password, later| match password {
        "12345" => Verdict::Now(Ok(())),
        _ => {
            sender.send(later()).unwrap();
            Verdict::Later
        }
    });
    let server = server(place.config.clone(), 1);
    expect_login(&server, "10.0.0.9", "user", "12345");
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let client = connect(&server, "10.0.0.9");
            client.command("USER user");
            client.command("PASS guess");
            client
        })
        .collect();
    // The others wait until it is known what became of these.
    assert!(later.try_iter().count() <= 6);
    drop(clients);
}

/// Counts how often it is asked about one user.
struct CountingOf(DummyAuthorizer, &'static str, Arc<AtomicUsize>);

impl Authorizer for CountingOf {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &authorizers::Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        self.2.fetch_add(usize::from(username == self.1), Relaxed);
        self.0.validate_authentication(username, password, client)
    }
}

/// An attacker with two accounts fails as both, sends guesses for somebody else, which wait, and
/// logs in.
#[test]
fn logins_do_not_forgive_guesses_that_wait() {
    let mut place = place();
    place.config.auth_failed_timeout = Duration::ZERO;
    let guesses = Arc::new(AtomicUsize::new(0));
    let users = CountingOf(users(&place), "victim", Arc::clone(&guesses));
    place.config.set_authorizer(users);
    let server = server(place.config.clone(), 1);
    let mut waiting = Vec::new();
    let send = |user: &str, password: &str| {
        let client = Client::new(&server, "10.0.0.9");
        client.send(&format!("USER {user}\r\nPASS {password}"));
        server.settle();
        client
    };
    for user in ["user", "other"] {
        send(user, "12345");
    }
    for second in 0..60_u64 {
        for (user, password) in [
            ("user", "x"),
            ("user", "x"),
            ("other", "x"),
            ("victim", "a"),
            ("victim", "b"),
            ("user", "12345"),
            ("other", "12345"),
        ] {
            waiting.push(send(user, password));
        }
        server.set_now(SECOND * u32::try_from(second).unwrap());
        server.settle();
        waiting.retain(|client| !client.stream.is_closed());
    }
    // A few at the beginning, and then four a minute.
    let guesses = guesses.load(Relaxed);
    assert!(guesses <= 12, "{guesses} guesses");
}

/// Guesses that were sent before the ban are not decided after it.
#[test]
fn a_ban_ends_guesses_that_wait() {
    let mut place = place_with_delay();
    place.config.guard.ban_after = 5;
    let asked = Arc::new(AtomicUsize::new(0));
    let users = Counting(users(&place), Arc::clone(&asked));
    place.config.set_authorizer(users);
    let server = server(place.config.clone(), 1);
    let clients: Vec<_> = (0..7).map(|_| connect(&server, "10.0.0.9")).collect();
    for client in &clients {
        client.command("USER user");
        client.send("PASS guess");
    }
    let mut replies = vec![String::new(); clients.len()];
    for _ in 0..60 {
        for (client, reply) in clients.iter().zip(&mut replies) {
            reply.push_str(&client.receive());
        }
        server.set_now(server.now() + SECOND);
        server.settle();
    }
    assert_eq!(asked.load(Relaxed), 5, "{replies:?}");
    let refused = replies
        .iter()
        .filter(|reply| reply.contains("421 Too many"));
    assert_eq!(refused.count(), 2, "{replies:?}");
}
