//! `/etc/hosts` (hosts(5)).

use std::net::IpAddr;

/// The addresses on all lines that name this host.
pub(super) fn find(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        let named = words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host));
        if named && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_that_names_the_host_counts() {
        let text = "127.0.0.1 localhost\n# 10.0.0.9 registry\n10.0.0.1\tregistry.example Registry # ours\n\
                    bad registry\nfd00::1 registry\n10.0.0.1 registry\n";
        let found: Vec<String> = find(text, "REGISTRY.")
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(found, ["10.0.0.1", "fd00::1"]);
        assert!(find(text, "registry.exampl").is_empty());
    }
}
