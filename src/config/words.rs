//! Finds the known word that a misspelled one probably stands for.

/// `; did you mean 'x'?`, if `word` is nearly the known word `x`.
///
/// Upper case counts as lower case, and a hyphen as an underscore.
pub(super) fn hint<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let word = word.to_lowercase().replace('-', "_");
    // One typing error is allowed in a short word, two in a longer one.
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    known
        .map(|known| (distance(&word, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| format!("; did you mean '{known}'?"))
}

/// The number of typing errors between two words: letters that are changed, added
/// or left out, and pairs of neighbours that are swapped (the distance of Damerau
/// and Levenshtein, in its restricted form).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Row `i` has the distances between the first `i` letters of `a` and the starts of `b`.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_typing_errors() {
        for (a, b, expected) in [
            ("port", "port", 0),
            ("prot", "port", 1),
            ("pot", "port", 1),
            ("portt", "port", 1),
            ("bort", "port", 1),
            ("", "port", 4),
            ("name", "home", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn hints_ignore_case_and_hyphens() {
        let known = ["name", "home", "max_cons_per_ip"];
        let hint = |word| hint(word, known.into_iter());
        for (word, expected) in [
            ("nmae", "name"),
            ("Home", "home"),
            ("max-cons-per-ip", "max_cons_per_ip"),
            ("MAX_CONS_PER_IPS", "max_cons_per_ip"),
        ] {
            assert_eq!(hint(word), Some(format!("; did you mean '{expected}'?")));
        }
        for word in ["", "n", "mane!", "max_cons"] {
            assert_eq!(hint(word), None, "{word}");
        }
    }
}
