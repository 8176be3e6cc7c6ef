//! Words that are nearly right.

/// `; did you mean 'x'?`, for a known word that differs by a slip.
pub(super) fn hint<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    // Two letters swapped are two slips.
    let slips = if word.len() < 4 { 1 } else { 2 };
    known
        .map(|known| (distance(word, known), known))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, known)| format!("; did you mean '{known}'?"))
}

/// How many letters to change, add or take away (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}
