//! What a registry asks for in `WWW-Authenticate` (RFC 9110, 11.6.1).

use std::collections::BTreeMap;

/// The scope that it asks for is not kept: which image is wanted we know, and a token for more is not for
/// the registry to have us fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The one to answer: a token, if that is asked for, since a password is then for its server only.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for (scheme, mut words) in headers.flat_map(parse) {
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => {
                if let Some(realm) = words.remove("realm") {
                    let service = words.remove("service");
                    return Some(Challenge::Bearer { realm, service });
                }
            }
            "basic" => basic = Some(Challenge::Basic),
            _ => {}
        }
    }
    basic
}

/// `Scheme key="value", key=value, Scheme …`
fn parse(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, left) = unquote(value.trim_start());
            if let Some((_, words)) = challenges.last_mut() {
                words.entry(word.to_ascii_lowercase()).or_insert(value);
            }
            rest = left;
        } else {
            challenges.push((word.into(), BTreeMap::new()));
            rest = after;
        }
        let next = rest.trim_start_matches([' ', ',', '\t']);
        // Whatever else is there is no word: one that is empty would be read for ever.
        if next.len() == rest.len() && word.is_empty() {
            break;
        }
        rest = next;
    }
    challenges
}

fn unquote(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].into(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(String::from),
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push""#;
        let expected = bearer("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(choose([hub].into_iter()), Some(expected.clone()));
        assert_eq!(
            choose(["Basic realm=\"x, y\"", hub].into_iter()),
            Some(expected.clone())
        );
        assert_eq!(
            choose([format!("Basic realm=\"x\", {hub}").as_str()].into_iter()),
            Some(expected)
        );
        assert_eq!(
            choose(["BASIC realm=x"].into_iter()),
            Some(Challenge::Basic)
        );
        assert_eq!(
            choose(["bearer realm=https://a/b , error=\"x\\\"y\""].into_iter()),
            Some(bearer("https://a/b", None))
        );
    }

    #[test]
    fn nonsense_is_no_challenge_and_ends() {
        for text in [
            "",
            "Negotiate",
            "Bearer",
            "=",
            "==",
            "Bearer realm",
            "Basic\"",
            "Bearer realm=\"",
            ", ,",
            "Bearer =x",
            "é=\"é",
        ] {
            let chosen = choose([text].into_iter());
            assert!(
                !matches!(chosen, Some(Challenge::Bearer { realm, .. }) if !realm.is_empty()),
                "{text}"
            );
        }
    }
}
