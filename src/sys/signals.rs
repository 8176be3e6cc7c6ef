//! Handlers of signals that can be taken back: when the last handler of a signal is dropped, the
//! action that the signal had before comes back.
//!
//! A handler that the program installed before is called first. One that is installed later, over
//! the one here, stays where it is.

use std::cell::Cell;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use libc::{c_int, c_void, siginfo_t};

use super::errno;

/// A handler of a signal, until it is dropped.
#[derive(Debug)]
pub(crate) struct SignalHandler {
    signal: c_int,
    number: u64,
}

impl SignalHandler {
    /// Keeps the handler for as long as the process lives.
    pub(crate) fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for SignalHandler {
    fn drop(&mut self) {
        let _changing = lock();
        let Some(index) = index(self.signal) else {
            return;
        };
        let mut list = list(index);
        list.actions.retain(|(number, _)| *number != self.number);
        if !list.actions.is_empty() {
            replace(index, Some(list));
            return;
        }
        let is_ours = current(self.signal).is_ok_and(|action| is_ours(&action));
        if let Some(previous) = list.previous.filter(|_| is_ours) {
            let _ = set(self.signal, &previous);
            list.previous = list.inner.take();
        }
        // A handler that was installed over the one here may still call it.
        let is_called = list.previous.is_some();
        replace(index, is_called.then_some(list));
    }
}

/// Sets the flag at each of these signals.
///
/// # Errors
/// The system refuses a handler.
pub(crate) fn set_flag(signal: c_int, flag: Arc<AtomicBool>) -> io::Result<SignalHandler> {
    let action = move || flag.store(true, SeqCst);
    // SAFETY: the action only stores to an atomic, which a signal handler may do.
    unsafe { handle(signal, action) }
}

/// Writes a byte to the socket at each of these signals, unless it is full.
///
/// # Errors
/// The system refuses a handler.
pub(crate) fn notify(signal: c_int, socket: UnixStream) -> io::Result<SignalHandler> {
    let action = move || {
        // SAFETY: the pointer is to one byte, as the count says. send(2) is async-signal-safe, and
        // the socket is open as long as the action exists.
        unsafe { libc::send(socket.as_raw_fd(), b"x".as_ptr().cast(), 1, FLAGS) };
    };
    // SAFETY: the action makes one system call that a signal handler may make.
    unsafe { handle(signal, action) }
}

/// Leaves the default action of this signal, which ends the process, until [`take_over`] is called
/// the first time. From then on the signal never ends the process by itself.
///
/// # Errors
/// The system refuses a handler.
pub(crate) fn end_until_taken_over(signal: c_int) -> io::Result<SignalHandler> {
    let action = move || {
        if !TAKEN_OVER.load(SeqCst) {
            // SAFETY: SIG_DFL is an action that runs no code here, and signal(2) is
            // async-signal-safe.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            // SAFETY: raise(3) takes a number and is async-signal-safe. The signal is delivered
            // when this handler returns.
            unsafe { libc::raise(signal) };
        }
    };
    // SAFETY: the action does only what a signal handler may do.
    unsafe { handle(signal, action) }
}

/// Ends this process, without the handlers of exit(3). A signal handler may call it.
pub(super) fn exit_at_once(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// This process has handlers now that decide how it ends.
pub(super) fn take_over() {
    TAKEN_OVER.store(true, SeqCst);
}

/// Calls `action` at each of these signals, after the actions that were added before.
///
/// # Errors
/// The system refuses a handler.
///
/// # Safety
/// `action` runs in a signal handler. It must only do what POSIX allows there, and must not panic.
pub(super) unsafe fn handle(
    signal: c_int,
    action: impl Fn() + Send + Sync + 'static,
) -> io::Result<SignalHandler> {
    let mut numbers = lock();
    let index = index(signal).ok_or(io::ErrorKind::InvalidInput)?;
    *numbers += 1;
    let number = *numbers;
    let mut list = list(index);
    let was_empty = list.actions.is_empty();
    list.actions.push((number, Arc::new(action)));
    if was_empty {
        let before = current(signal)?;
        if !is_ours(&before) {
            // The handler that is there now may call the one here, which then goes on as before.
            list.inner = list.inner.or(list.previous);
            list.previous = Some(before);
        }
        // The list comes first: a signal may come at once.
        replace(index, Some(list.clone()));
        if let Err(err) = set(signal, &ours()) {
            replace(index, None);
            return Err(err);
        }
    } else {
        replace(index, Some(list));
    }
    Ok(SignalHandler { signal, number })
}

/// What happens at a signal. A list never changes: another one takes its place.
#[derive(Clone, Default)]
struct List {
    actions: Vec<(u64, Arc<dyn Fn() + Send + Sync>)>,
    /// The action of the signal before the first of these, which is called first.
    previous: Option<libc::sigaction>,
    /// The one to call instead if the handler is called by the previous one.
    inner: Option<libc::sigaction>,
}

/// The list of a signal, to be changed under the lock.
fn list(index: usize) -> List {
    // SAFETY: the pointer is null, or that of a box which only `replace` frees. Its caller holds
    // the lock, as the caller of this function does.
    let list = unsafe { LISTS[index].load(SeqCst).as_ref() };
    list.cloned().unwrap_or_default()
}

/// Puts another list in place, and frees the old one when no handler uses it any more. The caller
/// holds the lock.
fn replace(index: usize, list: Option<List>) {
    let new = list.map_or(ptr::null_mut(), |list| Box::into_raw(Box::new(list)));
    let old = LISTS[index].swap(new, SeqCst);
    // A handler counts before it loads the pointer: at 0, none has the old one.
    while READERS.load(SeqCst) > 0 {
        thread::yield_now();
    }
    if !old.is_null() {
        // SAFETY: the pointer is that of a box which was made above, nothing leads to it any more,
        // and no handler uses it.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Calls a function with the list of a signal, in a handler.
fn with_list<T>(index: usize, function: impl FnOnce(&List) -> T) -> Option<T> {
    READERS.fetch_add(1, SeqCst);
    // SAFETY: the pointer is null, or that of a box that `replace` does not free while READERS
    // counts this handler.
    let result = unsafe { LISTS[index].load(SeqCst).as_ref() }.map(function);
    READERS.fetch_sub(1, SeqCst);
    result
}

/// The handler of all signals.
extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(index) = index(signal) else { return };
    let error = errno::get();
    let bit = 1 << index;
    let inside = INSIDE.get();
    let is_inner = inside & bit != 0;
    INSIDE.set(inside | bit);
    let previous = with_list(index, |list| match is_inner {
        true => list.inner,
        false => list.previous,
    });
    if let Some(previous) = previous.flatten() {
        call(&previous, signal, info, context);
    }
    if !is_inner {
        with_list(index, |list| {
            list.actions.iter().for_each(|(_, action)| action())
        });
    }
    INSIDE.set(inside);
    errno::set(error);
}

/// Calls a handler that was there before.
fn call(action: &libc::sigaction, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let address = action.sa_sigaction;
    if address == libc::SIG_DFL || address == libc::SIG_IGN {
        return;
    }
    let address = address as *const ();
    if action.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: without this flag the action has the address of a function of this type.
        let function: extern "C" fn(c_int) = unsafe { mem::transmute(address) };
        function(signal);
    } else {
        // SAFETY: with this flag the action has the address of a function of this type.
        let function: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
            unsafe { mem::transmute(address) };
        function(signal, info, context);
    }
}

/// The action that calls [`handler`].
fn ours() -> libc::sigaction {
    // SAFETY: the structure consists of integers, pointers and an optional function, for which
    // zeroes are a valid value. They mean no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
    action
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == handler as *const () as usize
}

/// The action that a signal has now.
pub(super) fn current(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with a null pointer for the new action the call only writes the current one, for
    // which `action` has room.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled in the structure.
    Ok(unsafe { action.assume_init() })
}

/// Gives a signal an action: that of [`ours`], or one that it had before.
fn set(signal: c_int, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `action` is valid, and its function may be called in a signal handler: it is the one
    // here, or one that the program had installed. A null pointer for the old action is allowed.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The place of a signal in the tables.
fn index(signal: c_int) -> Option<usize> {
    usize::try_from(signal)
        .ok()
        .filter(|index| *index < SIGNALS)
}

/// Lists change under this lock, which also holds the number of the last handler. A panic cannot
/// leave a list half changed.
fn lock() -> std::sync::MutexGuard<'static, u64> {
    static NUMBERS: Mutex<u64> = Mutex::new(0);
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The signals whose handler runs on this thread, a bit for each. The value needs neither
    /// initialization nor a destructor, so that a handler may use it.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Whether [`take_over`] was called.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);
/// The lists by signal.
static LISTS: [AtomicPtr<List>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];
/// How many handlers use a list now.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// The signals below this number can be handled: all of the standard.
const SIGNALS: usize = 32;

#[cfg(any(target_os = "macos", target_os = "ios"))]
const FLAGS: c_int = libc::MSG_DONTWAIT;
#[cfg(not(any(target_os = "macos", target_os = "ios")))]
const FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

#[cfg(test)]
mod tests;
