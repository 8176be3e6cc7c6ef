//! The server in a program with an async runtime: an async client checks tokens, which clients send
//! in place of passwords, and the runtime shuts the server down when a file called `done` arrives.
//! `cargo run --example beside_a_runtime [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:good-token@127.0.0.1:2121/done`.
//!
//! The runtime here is a small one of std. With tokio, `spawn` is `Handle::spawn`, a `promise` is a
//! `oneshot::channel`, `block_on` is `Runtime::block_on`, and `in_thread` is `spawn_blocking`.

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use ftpdlib::authorizers::{Authorizer, Client, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::{AuthenticationFailed, FTPConfig, FTPHandler, FTPServer, FTPSession};

/// Asks the token service. The table has the homes and the permissions.
struct Tokens(DummyAuthorizer);

impl Authorizer for Tokens {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        _client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let (username, token, verdict) = (username.to_owned(), password.to_owned(), later());
        // The session waits for the verdict; the loop of the server does not.
        spawn(async move {
            let result = match is_valid(username, token).await {
                Some(true) => Ok(()),
                Some(false) => Err(AuthenticationFailed::default()),
                None => Err(AuthenticationFailed::unavailable("")),
            };
            verdict.answer(result);
        });
        Verdict::Later
    }
}

/// Stands in for an async client of the token service. `None`: the service does not answer.
async fn is_valid(username: String, token: String) -> Option<bool> {
    in_thread(move || username == "user" && token == "good-token").await
}

struct Inbox(Keeper<()>);

impl FTPHandler for Inbox {
    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        if file.ends_with("done") {
            self.0.keep(());
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let table = DummyAuthorizer::new();
    // The password is never compared.
    table.add_user("user", "a token", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(Tokens(table));

    block_on(async move {
        let (done, shutdown) = promise();
        let server = FTPServer::builder(config, move |_peer| Inbox(done.clone()))
            .bind(address.as_str())?
            .spawn()?;
        // With tokio: `select!` on this, `ctrl_c()` and whatever else ends the program.
        shutdown.await;
        // Transfers may finish. The wait for them must not block the runtime.
        server.stop();
        let ended = in_thread(move || server.join()).await;
        let status = ended.ok_or("the thread that waited has panicked")??;
        log::info!(target: "ftpdlib", "shut down with status {}", status.code());
        Ok(())
    })
}

// --- the runtime

/// Runs a future on a thread, and what it does beside that stays its own.
fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    thread::spawn(|| block_on(future));
}

/// Runs a function that blocks on a thread. `None`: it has panicked.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (keeper, result) = promise();
    thread::spawn(move || keeper.keep(work()));
    result.await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A value that comes later, and its other end.
fn promise<T>() -> (Keeper<T>, Promise<T>) {
    let shared = Arc::new(Mutex::new((None, None)));
    (
        Keeper(Arc::new(Break(Arc::clone(&shared)))),
        Promise(shared),
    )
}

/// The value if it is there, and who waits for it.
type Shared<T> = Arc<Mutex<(Option<Option<T>>, Option<Waker>)>>;

struct Keeper<T>(Arc<Break<T>>);

/// Without a keeper, the promise is `None`.
struct Break<T>(Shared<T>);

struct Promise<T>(Shared<T>);

impl<T> Clone for Keeper<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Keeper<T> {
    fn keep(&self, value: T) {
        self.0.settle(Some(value));
    }
}

impl<T> Break<T> {
    fn settle(&self, value: Option<T>) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.0.get_or_insert(value);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    }
}

impl<T> Drop for Break<T> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                shared.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
