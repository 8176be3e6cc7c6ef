//! What the clients of a world do, and what they find: pure data, and its generator.

mod actions;
mod ends;
mod hostile;
mod paths;
pub mod surroundings;
mod transfers;
mod walker;

pub mod draw;
pub mod scene;
pub mod step;
pub mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use draw::Draw;
use scene::Scene;
use step::{Client, Pace, Temper};
use walker::Walker;

/// How often each temperament is drawn.
const TEMPERS: &[(usize, Temper)] = &[
    (30, Temper::Orderly),
    (30, Temper::Pipelining),
    (10, Temper::Slow),
    (12, Temper::Rude),
    (10, Temper::Cut),
    (8, Temper::Hostile),
];

/// How many clients a world has: weight, least, most.
const CROWDS: &[(usize, (usize, usize))] =
    &[(40, (1, 2)), (35, (3, 6)), (18, (7, 20)), (7, (21, 50))];

/// Draws a scene. `tls` permits worlds with TLS; most scenes have none all the same.
pub fn scene(draw: &mut Draw, tls: bool) -> Scene {
    let settings = surroundings::settings(draw, tls);
    let (least, most) = *draw.weighted(CROWDS);
    let count = draw.within(least, most);
    // In most worlds each client has a user and a home of its own.
    let homes = match draw.percent(15) {
        true => draw.within(1, 2),
        false => count,
    };
    let mut found = surroundings::users_and_homes(draw, homes, homes == count);
    // One user that nobody uses: what it has must never be seen.
    let (user, mut home) = surroundings::user_and_home(draw, homes);
    home.private = true;
    found.0.push(user);
    found.1.push(home);
    let (users, homes) = found;
    let mut clients = Vec::new();
    let mut arrives = Duration::ZERO;
    for index in 0..count {
        if draw.percent(60) {
            arrives += Duration::from_millis(draw.below(3000) as u64);
        }
        let temper = *draw.weighted(TEMPERS);
        let user = index % (users.len() - 1);
        let mut walker = Walker::new(draw, &settings, &users[user], &homes[user], temper);
        walker.walk();
        let steps = walker.steps;
        clients.push(Client {
            from: address(draw, settings.address, index),
            arrives,
            temper,
            pace: pace(draw, temper),
            steps,
        });
    }
    Scene {
        settings,
        users,
        homes,
        clients,
    }
}

/// Some clients share an address.
fn address(draw: &mut Draw, server: SocketAddr, index: usize) -> SocketAddr {
    let host = match draw.percent(30) {
        true => 7,
        false => 20 + index,
    };
    let host = u8::try_from(host % 250).unwrap_or(9);
    let ip: IpAddr = match server {
        SocketAddr::V4(_) => [10, 0, 0, host].into(),
        SocketAddr::V6(_) => [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)].into(),
    };
    SocketAddr::new(ip, 40_000 + u16::try_from(index).unwrap_or(0))
}

fn pace(draw: &mut Draw, temper: Temper) -> Pace {
    if temper != Temper::Slow && !draw.percent(10) {
        return Pace::FAST;
    }
    Pace {
        chunk: *draw.of(&[1, 7, 100, 1460, 5000]),
        gap: Duration::from_millis(*draw.of(&[0, 1, 10, 200])),
        buffer: *draw.of(&[256, 2048, 16 * 1024, 64 * 1024]),
    }
}
