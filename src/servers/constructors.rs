//! The constructors that all servers have. They differ in what the factory of handlers
//! must allow: it is called on the loop of the server, in threads or in processes.

/// Writes the constructors of a server. `$model` makes the model and what starts its
/// sessions from a factory; the server has a function `with_listen`.
macro_rules! constructors {
    ($server:ident, $model:path, $call:ident $(+ $bound:ident)*) => {
        impl $server {
            /// Listens on `host:port` (`[::]:2121`; `:2121` for all addresses). `factory`
            /// makes the handler of each session from the address of its client. At most
            /// 100 connections wait to be accepted.
            ///
            /// # Errors
            /// If the address is wrong or in use. If TLS cannot be set up, the kind is
            /// `InvalidInput`, and the error has a [`TlsError`](crate::TlsError) inside.
            pub fn bind<H, F>(address: &str, config: FTPConfig, factory: F) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: $call(SocketAddr) -> H $(+ $bound)* + 'static,
            {
                let listen = Listen::parse(address)?;
                Self::with_listen(listen, config, $model(factory))
            }

            /// Listens on `host` (`""` for all addresses) and `port` (0: the system
            /// chooses one). `factory` makes the handler of each session. At most `backlog`
            /// connections wait to be accepted.
            ///
            /// # Errors
            /// If the address is wrong or in use. If TLS cannot be set up, the kind is
            /// `InvalidInput`, and the error has a [`TlsError`](crate::TlsError) inside.
            pub fn bind_with<H, F>(
                host: &str,
                port: u16,
                backlog: i32,
                config: FTPConfig,
                factory: F,
            ) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: $call(SocketAddr) -> H $(+ $bound)* + 'static,
            {
                let listen = Listen::host(host, port).backlog(backlog);
                Self::with_listen(listen, config, $model(factory))
            }

            /// Serves on a socket that listens already. `factory` makes the handler of each
            /// session.
            ///
            /// # Errors
            /// Errors of the system. If TLS cannot be set up, the kind is `InvalidInput`,
            /// and the error has a [`TlsError`](crate::TlsError) inside.
            pub fn from_listener<H, F>(
                listener: StdListener,
                config: FTPConfig,
                factory: F,
            ) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: $call(SocketAddr) -> H $(+ $bound)* + 'static,
            {
                let listen = Listen::from_listener(listener);
                Self::with_listen(listen, config, $model(factory))
            }
        }
    };
}

pub(super) use constructors;
