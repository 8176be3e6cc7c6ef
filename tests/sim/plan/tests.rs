pub fn checks() -> Vec<(&'static str, fn())> {
    Vec::new()
}
