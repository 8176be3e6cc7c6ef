use std::sync::atomic::AtomicU32;

use super::*;
use crate::sys::process_for_tests::alone;

const SIGNAL: c_int = libc::SIGUSR2;

static HOST: AtomicU32 = AtomicU32::new(0);

extern "C" fn of_host(_signal: c_int) {
    HOST.fetch_add(1, SeqCst);
}

/// A handler of the host, which calls the one that was there before.
extern "C" fn over(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    HOST.fetch_add(10, SeqCst);
    handler(signal, info, context);
}

fn install(function: usize, flags: c_int) {
    let mut action = ours();
    action.sa_sigaction = function;
    action.sa_flags = flags;
    set(SIGNAL, &action).unwrap();
}

fn address() -> usize {
    current(SIGNAL).unwrap().sa_sigaction
}

fn counter() -> (Arc<AtomicU32>, SignalHandler) {
    let count = Arc::new(AtomicU32::new(0));
    let own = Arc::clone(&count);
    let action = move || {
        own.fetch_add(1, SeqCst);
    };
    // SAFETY: the action only adds to an atomic.
    let handler = unsafe { handle(SIGNAL, action) }.unwrap();
    (count, handler)
}

fn raise() {
    // SAFETY: raise(3) takes a number. The signal is handled in each test.
    unsafe { libc::raise(SIGNAL) };
}

#[test]
fn the_action_before_comes_back_with_the_last_handler() {
    alone(
        "sys::signals::tests::the_action_before_comes_back_with_the_last_handler",
        || {
            for action in [libc::SIG_DFL, libc::SIG_IGN] {
                install(action, 0);
                let (first, one) = counter();
                let (second, two) = counter();
                raise();
                drop(one);
                raise();
                assert_eq!((first.load(SeqCst), second.load(SeqCst)), (1, 2));
                assert_ne!(address(), action);
                drop(two);
                assert_eq!(address(), action);
            }
        },
    );
}

#[test]
fn a_handler_of_the_host_is_called_and_comes_back() {
    alone(
        "sys::signals::tests::a_handler_of_the_host_is_called_and_comes_back",
        || {
            let host = of_host as *const () as usize;
            install(host, libc::SA_RESTART);
            for round in 1..=2 {
                let (count, handler) = counter();
                raise();
                assert_eq!((count.load(SeqCst), HOST.load(SeqCst)), (1, 2 * round - 1));
                drop(handler);
                assert_eq!(address(), host);
                raise();
                assert_eq!((count.load(SeqCst), HOST.load(SeqCst)), (1, 2 * round));
            }
        },
    );
}

#[test]
fn a_later_handler_of_the_host_stays() {
    alone(
        "sys::signals::tests::a_later_handler_of_the_host_stays",
        || {
            let host = of_host as *const () as usize;
            install(host, 0);
            let (count, first) = counter();
            let top = over as *const () as usize;
            install(top, libc::SA_SIGINFO);
            raise();
            assert_eq!((count.load(SeqCst), HOST.swap(0, SeqCst)), (1, 11));
            drop(first);
            assert_eq!(address(), top);
            raise();
            assert_eq!((count.load(SeqCst), HOST.swap(0, SeqCst)), (1, 11));
            // The next server handles the signal again, and calls both once.
            let (count, second) = counter();
            raise();
            assert_eq!((count.load(SeqCst), HOST.swap(0, SeqCst)), (1, 11));
            drop(second);
            assert_eq!(address(), top);
            raise();
            assert_eq!((count.load(SeqCst), HOST.swap(0, SeqCst)), (1, 11));
        },
    );
}

#[test]
fn handlers_change_while_signals_come() {
    alone(
        "sys::signals::tests::handlers_change_while_signals_come",
        || {
            let (_kept, _handler) = counter();
            let done = Arc::new(AtomicBool::new(false));
            let over = Arc::clone(&done);
            let sender = thread::spawn(move || {
                while !over.load(SeqCst) {
                    raise();
                }
            });
            for _ in 0..1000 {
                let (count, handler) = counter();
                raise();
                assert!(count.load(SeqCst) > 0);
                drop(handler);
            }
            done.store(true, SeqCst);
            sender.join().unwrap();
        },
    );
}
