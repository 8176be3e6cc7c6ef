//! Timers that know what they are for.

use std::cell::Cell;
use std::rc::Rc;

use ftpdlib::handlers::TimerId;
use ftpdlib::testing::Session;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession};

use super::SECOND;

#[derive(Default)]
struct Noting(Vec<String>);

impl FTPHandler for Noting {
    fn on_timer(&mut self, _: &mut FTPSession, _: TimerId) {
        self.0.push("on_timer".to_owned());
    }
}

fn noting() -> Session<Noting> {
    Session::new(FTPConfig::default(), Noting::default()).unwrap()
}

fn take(session: &mut Session<Noting>) -> Vec<String> {
    session.with(|handler, _| std::mem::take(&mut handler.0))
}

#[test]
fn each_calls_its_own_function() {
    let mut session = noting();
    session.with(|_, s| {
        for name in ["one", "two"] {
            s.call_later_with(SECOND, move |h: &mut Noting, _| h.0.push(name.to_owned()));
        }
        s.call_later(SECOND);
    });
    session.advance(10 * SECOND);
    let mut called = take(&mut session);
    called.sort();
    assert_eq!(called, ["on_timer", "one", "two"]);
}

#[test]
fn a_repeating_function_keeps_its_state_and_may_end_itself() {
    let mut session = noting();
    let own = Rc::new(Cell::new(None));
    session.with(|_, s| {
        let (id, mut count) = (Rc::clone(&own), 0);
        let every = move |h: &mut Noting, s: &mut FTPSession| {
            count += 1;
            h.0.push(format!("{count}"));
            if count == 3 {
                s.cancel_timer(id.get().unwrap());
            }
        };
        own.set(s.call_every_with(SECOND, every));
    });
    for _ in 0..10 {
        session.advance(SECOND);
    }
    assert_eq!(take(&mut session), ["1", "2", "3"]);
}

#[test]
fn a_session_has_64_of_all_kinds() {
    let mut session = noting();
    let set = session.with(|_, s| {
        let mut set = 0;
        for number in 0..100 {
            let timer = match number % 2 {
                0 => s.call_later(SECOND),
                _ => s.call_later_with(SECOND, |h: &mut Noting, _| h.0.push(String::new())),
            };
            set += usize::from(timer.is_some());
        }
        set
    });
    assert_eq!(set, 64);
    session.advance(SECOND);
    assert_eq!(take(&mut session).len(), 64);
}

#[test]
fn a_function_for_another_handler_ends_the_session() {
    let mut session = noting();
    session.with(|_, s| {
        s.call_later_with(SECOND, |_: &mut String, _| {});
    });
    session.advance(SECOND);
    assert!(session.is_closed());
}
