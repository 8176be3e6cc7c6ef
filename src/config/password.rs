//! The checks of passwords, for the file and for the command line.

/// The user whose login needs no password.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Checks the password of an account.
///
/// # Errors
/// What is wrong with the password: nobody could log in with it, or it would not be what its
/// author believes. The text follows the name of the setting.
pub(crate) fn check(username: &str, password: &str) -> Result<(), String> {
    if username == ANONYMOUS {
        return Err("anonymous has no password, any is accepted; use [anonymous]".to_owned());
    }
    if password.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if is_hash(password) {
        return Err("looks like a hash; the password must be in clear text".to_owned());
    }
    check_line(password)
}

/// Checks a text that clients must send in a command line.
///
/// # Errors
/// No client can send the text.
pub(crate) fn check_line(text: &str) -> Result<(), String> {
    if text.contains(['\r', '\n', '\0']) {
        return Err("must not contain CR, LF or NUL: no client can send these".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("must have at most {LONGEST} bytes"));
    }
    Ok(())
}

/// Whether a text is what a file of hashes holds in place of a password: a hash, or the mark of a
/// locked account, with or without a hash after it.
fn is_hash(text: &str) -> bool {
    if let Some(rest) = LOCKED.iter().find_map(|mark| text.strip_prefix(mark)) {
        let is_mysql = rest.len() == 40 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        return rest.is_empty() || is_mysql || is_hash_itself(rest);
    }
    is_hash_itself(text)
}

/// Whether a text has the form of a hash: that of crypt(3), `$id$salt$hash`, that of BSDi,
/// `_` and 19 characters, or that of LDAP, `{SCHEME}base64`. The traditional hash of crypt(3), 13
/// letters and digits, has no such mark: passwords look like that too.
fn is_hash_itself(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('$') {
        let Some((id, data)) = rest.split_once('$') else {
            return false;
        };
        // As in `$md5,rounds=1000$`.
        let id = id.split_once(',').map_or(id, |(id, _)| id);
        return CRYPT_IDS.contains(&id) || (PHP_IDS.contains(&id) && is_data(data));
    }
    if let Some(rest) = text.strip_prefix('_') {
        return rest.len() == 19 && is_data(rest);
    }
    let ldap = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    ldap.is_some_and(|(scheme, data)| is_scheme(scheme) && !data.is_empty())
}

/// Whether text is in the base64 of crypt(3), and long enough for a hash.
fn is_data(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    text.len() >= SHORTEST_HASH && text.bytes().all(is_digit)
}

/// Whether a name may be that of a scheme (RFC 2307, and what servers of LDAP and mail have
/// added): one in capital letters, or one that contains the name of an algorithm.
fn is_scheme(name: &str) -> bool {
    let is_of_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b',');
    if name.len() < 2 || !name.bytes().all(is_of_name) {
        return false;
    }
    let capitals = name.to_ascii_uppercase();
    name.starts_with(|first: char| first.is_ascii_uppercase()) && name == capitals
        || ALGORITHMS.iter().any(|known| capitals.contains(known))
}

/// The marks of locked accounts, longer ones before their beginnings.
const LOCKED: [&str; 8] = ["*LOCKED*", "*LK*", "*NP*", "!!", "!*", "*!", "!", "*"];

/// What stands between the first two dollar signs of a hash (crypt(5), and the PHC string
/// format).
const CRYPT_IDS: [&str; 28] = [
    "1",
    "2",
    "2a",
    "2b",
    "2x",
    "2y",
    "3",
    "5",
    "6",
    "7",
    "8",
    "9",
    "md5",
    "sha1",
    "y",
    "gy",
    "sm3",
    "sm3y",
    "apr1",
    "argon2d",
    "argon2i",
    "argon2id",
    "bcrypt-sha256",
    "pbkdf2",
    "pbkdf2-sha1",
    "pbkdf2-sha256",
    "pbkdf2-sha512",
    "scrypt",
];

/// The same for programs in PHP. A clear password may begin like that, too.
const PHP_IDS: [&str; 3] = ["P", "H", "S"];

/// What the names of schemes contain, in any case.
const ALGORITHMS: [&str; 7] = ["CRYPT", "MD5", "SHA", "PBKDF2", "ARGON2", "SCRAM", "NTLM"];

/// A hash without a known mark has at least so many characters.
const SHORTEST_HASH: usize = 13;

/// In bytes. A command line may have 2,048 bytes, the command and its CRLF included.
const LONGEST: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_no_passwords() {
        for hash in [
            "$1$etNnh7FA$OlM7eljE/B7F1J4XYNnk81",
            "$2b$10$VIhIOofSMqgdGlL4wzE//e.77dAQGqntF/1dT7bqCrVtquInWy2qi",
            "$3$$8846f7eaee8fb117ad06bdd830b7586c",
            "$5$rounds=5000$usesomesillystri$KqJWpanXZHKq2BOB43TSaYhEWsQ1Lr5QNyPCDH/Tp.6",
            "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9A",
            "$7$DU..../....2Q9obwLhin8qvQl6sisAO/$E1HizYWxBmnIH4sdPkd1UOML9t62Gf.wvNTnt5XFzs8",
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            "$gy$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            "$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq",
            "$apr1$etNnh7FA$OlM7eljE/B7F1J4XYNnk81",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b7dWRWJTmaaJObG",
            "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3",
            "{crypt}$6$salt$IxDD3jeSOb5eB1CX5LBs",
            "$md5,rounds=1000$salt$$VvnIwNoPGQ4Z0RjpJ9NFq/",
            "$6$abc$def",
            "$1$abc$xyz",
            "$y$j9T$abc$def",
            "$5$",
            "$P$B984eL2h4Pdjgyl5rPFUPb0cDyqCYr1",
            "_J9..rasmz0.F/jqjWck",
            "!",
            "!!",
            "*",
            "*LK*",
            "!*",
            "!$6$salt$IxDD3jeSOb5eB1CX5LBs",
            "!!$y$j9T$abc$def",
            "*$1$abc$xyz",
            "*LK*$5$abc$def",
            "*LOCKED*$2b$10$VIhIOofSMqgdGlL4wzE//e",
            "!_J9..rasmz0.F/jqjWck",
            "!{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3",
            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
            "{BCRYPT}$2b$10$abc",
            "{SHA512-CRYPT}$6$abc$def",
            "{sha256-crypt}$5$abc$def",
            "{ARGON2ID}$argon2id$v=19",
            "{SSHA512.HEX}ab",
            "{x-issha,1024}abc",
            "{SCHEME}rest",
        ] {
            let text = "looks like a hash; the password must be in clear text";
            assert_eq!(check("joe", hash), Err(text.to_owned()), "{hash}");
        }
    }

    #[test]
    fn passwords_with_dollar_signs_are_passwords() {
        for password in [
            "$money",
            "$money$",
            "$5.00",
            "$5.00 or $6.00",
            "$6",
            "$P$word",
            "$ecret$",
            "$",
            "$$$",
            "$cash$is$king$for$ever",
            "{SSHA}",
            "{x}y",
            "{curly} braces",
            "{A}b",
            "_J9..rasmz0.F/jqjWc",
            "_with spaces in it..",
            "_",
            "!important",
            "!!!",
            "*star*",
            "*$5.00",
            "abJnggxhB/yWI",
            "x",
            "pass word",
            " ",
            "pä$$wörd",
        ] {
            assert_eq!(check("joe", password), Ok(()), "{password}");
        }
    }

    #[test]
    fn passwords_that_cannot_be_sent_are_wrong() {
        let of_joe = |password: &str| check("joe", password).unwrap_err();
        assert_eq!(of_joe(""), "must not be empty");
        for wrong in ["a\nb", "\r", "nul\0"] {
            assert!(
                of_joe(wrong).starts_with("must not contain CR"),
                "{wrong:?}"
            );
        }
        assert_eq!(check("joe", &"x".repeat(2000)), Ok(()));
        assert_eq!(of_joe(&"x".repeat(2001)), "must have at most 2000 bytes");
    }

    #[test]
    fn anonymous_has_no_password() {
        for password in ["", "secret"] {
            assert!(check("anonymous", password).is_err());
        }
        assert_eq!(check("Anonymous", "secret"), Ok(()));
    }
}
