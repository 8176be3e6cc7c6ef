//! Tests of the disk.
pub fn checks() -> Vec<(&'static str, fn())> {
    vec![]
}
