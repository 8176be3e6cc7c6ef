//! The settings of the process.

use super::setting::{Setting, set_umask};

pub(super) const UMASK: Setting = Setting::new(
    "server",
    "umask",
    "string, inherited",
    "the permissions that new files and directories do not get, in octal, such as `\"027\"`; for \
         the whole process",
    set_umask,
);

pub(super) const USER: Setting = Setting::new(
    "server",
    "user",
    "string or integer",
    "the user to switch to for good when the sockets are bound, by name or number; only root \
         can switch",
    |s, v| v.name_or_number().map(|t| s.user = Some(t)),
);

pub(super) const GROUP: Setting = Setting::new(
    "server",
    "group",
    "string or integer, that of `user`",
    "the group to switch to; it requires `user`",
    |s, v| v.name_or_number().map(|t| s.group = Some(t)),
);
