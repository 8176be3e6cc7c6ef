use crate::script::Script;
use crate::world::Failure;
use std::time::Duration;
pub fn shrink(s: Script, f: Failure, _: Duration) -> (Script, Failure) {
    (s, f)
}
