use super::HubError;
use ureq::http::Uri;

/// Whom an address belongs to: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    pub(super) fn of(url: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Answer { url: shown(url), reason: "it is no address of the web".into() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_lowercase();
        Ok(Self { https, host, port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }) })
    }
}

/// Where a `Location` leads, seen from an address.
pub(super) fn join(base: &str, location: &str) -> Result<String, HubError> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme_end = base.find("://").map_or(0, |at| at + 3);
    let path_start = base[scheme_end..].find('/').map_or(base.len(), |at| scheme_end + at);
    let joined = if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{}{location}", &base[..scheme_end.saturating_sub(2)])
    } else if location.starts_with('/') {
        format!("{}{location}", &base[..path_start])
    } else {
        let path = base[path_start..].split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{}{folder}{location}", &base[..path_start])
    };
    Origin::of(&joined).map(|_| joined)
}

/// Whether an address begins with a scheme, rather than having another address somewhere in it.
fn has_scheme(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?']))
}

/// An address as it may be shown: without a password, and without what stands after `?`, where a content network has the signature
/// that opens a file to whoever knows it.
pub(super) fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let mark = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{mark}{host}{path}")
}

/// A part of a path, with everything escaped that could be taken for something else.
pub(super) fn escaped(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    part.bytes().map(escape).collect()
}

/// An `ETag` without quotation marks and without the mark of a weak one.
pub(super) fn plain_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        let origin = |url| Origin::of(url).unwrap();
        assert_eq!(origin("https://Hub.co/x?y"), origin("https://hub.co:443"));
        for other in ["http://hub.co", "https://hub.co:8443", "https://hub.co.evil", "https://evil/hub.co"] {
            assert_ne!(origin("https://hub.co"), origin(other), "{other}");
        }
        // What stands before an `@` is no host.
        assert_eq!(origin("https://hub.co@evil/x").host, "evil");
        for none in ["", "hub.co/x", "ftp://hub.co", "file:///etc/passwd", "https://"] {
            assert!(Origin::of(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_location_is_seen_from_where_it_was_told() {
        let base = "https://hub.co/a/b/c?d=/e/";
        for (location, expected) in [
            ("http://cdn/x#y", "http://cdn/x"),
            ("//cdn/x", "https://cdn/x"),
            ("/x?y", "https://hub.co/x?y"),
            ("x", "https://hub.co/a/b/x"),
            ("/x?next=https://evil/", "https://hub.co/x?next=https://evil/"),
            ("?next=https://evil/", "https://hub.co/a/b/?next=https://evil/"),
        ] {
            assert_eq!(join(base, location).unwrap(), expected);
        }
        assert_eq!(join("https://hub.co", "x").unwrap(), "https://hub.co/x");
        assert!(join(base, "file:///etc/passwd").is_err());
    }

    #[test]
    fn what_is_shown_of_an_address_opens_nothing() {
        for (url, expected) in [
            ("https://ana:pass@hub.co/a@b", "https://hub.co/a@b"),
            ("https://cdn/x?Signature=a/b@c", "https://cdn/x"),
            ("http://hub.co", "http://hub.co"),
            ("ana:pass@hub.co", "hub.co"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn etags_lose_their_marks_and_parts_their_meaning() {
        for etag in ["abc", "\"abc\"", "W/\"abc\""] {
            assert_eq!(plain_etag(etag), "abc");
        }
        assert_eq!(escaped("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escaped("a b?c"), "a%20b%3Fc");
    }
}
