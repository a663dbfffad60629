use super::HubError;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the hub is, what it is told and where its files are kept: everything that the environment decides.
///
/// The variables and what they mean are those of `huggingface_hub`; an empty one counts as unset.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the cache that Python shares: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub`,
    /// `$XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// Address of the hub or of a mirror, without a slash at its end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// What proves who asks: `HF_TOKEN`, the file `HF_TOKEN_PATH`, `$HF_HOME/token`; `HF_HUB_DISABLE_IMPLICIT_TOKEN` for none.
    pub token: Option<Secret>,
    /// The variable that forbids connections, if one does: `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`.
    pub offline: Option<&'static str>,
    /// Time without a byte after which a connection counts as dead: `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
    pub stall: Duration,
    /// Time for connecting and for the answer to a question about a file: `HF_HUB_ETAG_TIMEOUT`, in seconds.
    pub answer: Duration,
    /// Times that a request is tried again without a byte of progress in between.
    pub retries: u32,
    /// Wait before the first of these; each later one is twice as long, up to eight seconds.
    pub backoff: Duration,
    /// Files that are fetched at the same time.
    pub parallel: usize,
    /// The way to the hub.
    pub proxies: Proxies,
    /// Certificates (PEM) to trust in place of those built in: `SSL_CERT_FILE`.
    pub certificates: Option<PathBuf>,
    /// Whether progress may be shown: not with `HF_HUB_DISABLE_PROGRESS_BARS`.
    pub progress: bool,
}

/// Proxies by the scheme of what is asked for: `http://`, `https://` (to the proxy, that is), `socks4://`, `socks4a://`, `socks5://`
/// or `socks5h://`.
///
/// An HTTP proxy is asked for a tunnel (`CONNECT`) for `http://` as well as for `https://`, as `curl --proxytunnel` does. It is not
/// sent the whole address (`GET http://host/path`) as curl and Python send it: `ureq` 3.5 writes the path alone into a request, and
/// `http` 1.5, whose addresses it takes, has none whose path begins otherwise than with a slash. A proxy that allows tunnels to
/// port 443 alone therefore refuses a hub at `http://`; the error says so.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `https://`: `HTTPS_PROXY`, else `ALL_PROXY`.
    pub https: Option<Secret>,
    /// For `http://`: `HTTP_PROXY`, else `ALL_PROXY`.
    pub http: Option<Secret>,
    /// Hosts that are reached without: `NO_PROXY`.
    pub except: Vec<String>,
}

/// A text that is never shown: a token, or an address that may have a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be sent and for nothing else.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";

const TOKEN: &str = "HF_TOKEN";

impl Settings {
    /// What the environment of this process says.
    ///
    /// # Errors
    /// If a variable has a value that cannot be honoured, or nothing says where the cache is.
    pub fn from_env() -> Result<Self, HubError> {
        Self::resolve(&|name| std::env::var_os(name), std::env::home_dir())
    }

    /// Mixes variables and defaults; the only place that asks for a variable.
    fn resolve(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self, HubError> {
        let text = |name: &str| {
            let value = variable(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let path = |name: &str| text(name).map(|value| expanded(&value, &text, home.as_deref()));
        let truthy = |name: &str| text(name).as_deref().is_some_and(is_truthy);
        let seconds = |name: &'static str| match text(name) {
            None => Ok(None),
            Some(value) => match value.parse::<u64>() {
                // As in Python, 0 means the default.
                Ok(seconds) => Ok((seconds > 0).then(|| Duration::from_secs(seconds))),
                Err(_) => {
                    Err(HubError::Setting { name, reason: format!("`{value}` is no number of seconds") })
                }
            },
        };
        let base = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
            caches.map(|caches| caches.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| base.as_ref().map(|base| base.join("hub")))
            .ok_or(HubError::Setting {
                name: "HF_HOME",
                reason: "it is not set, and there is no home folder to keep a cache in".into(),
            })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !["https://", "http://"]
            .iter()
            .any(|scheme| endpoint.len() > scheme.len() && endpoint.starts_with(scheme))
        {
            let reason = format!("`{endpoint}` does not begin with https:// or http://");
            return Err(HubError::Setting { name: "HF_ENDPOINT", reason });
        }
        let token_file = path("HF_TOKEN_PATH").or_else(|| base.map(|base| base.join("token")));
        let token = text(TOKEN)
            .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| token_file.and_then(|file| std::fs::read_to_string(file).ok()))
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty() && !truthy("HF_HUB_DISABLE_IMPLICIT_TOKEN"));
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            let reason = "the token has characters that no token has; it is not shown here".into();
            return Err(HubError::Setting { name: TOKEN, reason });
        }
        // The first that is set decides, even where it says no.
        let offline =
            ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| text(name).is_some());
        let proxy = |name: &str| {
            let either = |name: &str| text(&name.to_lowercase()).or_else(|| text(name));
            either(name).or_else(|| either("ALL_PROXY")).map(Secret)
        };
        let except = text("no_proxy").or_else(|| text("NO_PROXY")).unwrap_or_default();
        Ok(Self {
            cache,
            endpoint,
            token: token.map(Secret),
            offline: offline.filter(|name| truthy(name)),
            stall: seconds("HF_HUB_DOWNLOAD_TIMEOUT")?.unwrap_or(Duration::from_secs(10)),
            answer: seconds("HF_HUB_ETAG_TIMEOUT")?.unwrap_or(Duration::from_secs(10)),
            retries: 4,
            backoff: Duration::from_millis(500),
            parallel: 4,
            proxies: Proxies {
                https: proxy("HTTPS_PROXY"),
                http: proxy("HTTP_PROXY"),
                except: except
                    .split(',')
                    .map(|host| host.trim().to_lowercase())
                    .filter(|h| !h.is_empty())
                    .collect(),
            },
            certificates: path("SSL_CERT_FILE"),
            progress: !truthy("HF_HUB_DISABLE_PROGRESS_BARS"),
        })
    }
}

impl Proxies {
    /// The proxy for an address, if there is one.
    pub(super) fn of(&self, https: bool, host: &str, port: u16) -> Option<&Secret> {
        let proxy = if https { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.except.iter().any(|rule| excepts(rule, host, port)))
    }
}

/// Whether a rule of `NO_PROXY` covers a host: `*`, a host, or a domain with everything below it; perhaps with a port.
fn excepts(rule: &str, host: &str, port: u16) -> bool {
    let host = host.to_lowercase();
    let (name, wanted) = match rule.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) if !name.contains(':') => (name, Some(port)),
        _ => (rule, None),
    };
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let below = || host.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
    wanted.is_none_or(|wanted| wanted == port) && (name == "*" || host == name || below())
}

/// What Python takes for a yes.
fn is_truthy(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// A path with `~`, `$NAME` and `${NAME}` replaced, as Python does; what is not set stays as it is.
fn expanded(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    home: Option<&std::path::Path>,
) -> PathBuf {
    let mut out = String::new();
    let mut rest = text;
    if let (Some(home), Some(after)) = (home, text.strip_prefix('~'))
        && (after.is_empty() || after.starts_with('/'))
    {
        out.push_str(&home.to_string_lossy());
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, next) = braced.unwrap_or_else(|| {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            after.split_at(end)
        });
        match variable(name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[before.len()..rest.len() - next.len()]),
        }
        rest = next;
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn resolve(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Settings::resolve(&|name| variables.get(name).map(OsString::from), Some("/home/ana".into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        for (variables, expected) in [
            (&[][..], "/home/ana/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")], "/home/ana/hf/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "$BIG/${USER}/$NO")], "/big/ana/$NO"),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")], "/h/hub"),
        ] {
            let mut variables = variables.to_vec();
            variables.extend([("BIG", "/big"), ("USER", "ana")]);
            assert_eq!(resolve(&variables).unwrap().cache, Path::new(expected), "{variables:?}");
        }
        let error = Settings::resolve(&|_| None, None).unwrap_err().to_string();
        assert!(error.contains("HF_HOME"), "{error}");
    }

    #[test]
    fn the_first_variable_that_is_set_decides_on_being_offline() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("HF_HUB_OFFLINE", "1")], Some("HF_HUB_OFFLINE")),
            (&[("TRANSFORMERS_OFFLINE", "yes")], Some("TRANSFORMERS_OFFLINE")),
            (&[("HF_HUB_OFFLINE", "True"), ("TRANSFORMERS_OFFLINE", "1")], Some("HF_HUB_OFFLINE")),
            (&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")], None),
            (&[("HF_HUB_OFFLINE", "maybe")], None),
        ] {
            assert_eq!(resolve(variables).unwrap().offline, expected, "{variables:?}");
        }
    }

    #[test]
    fn a_token_comes_from_the_nearest_place_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let file = folder.path().join("other");
        std::fs::write(folder.path().join("token"), "hf_home\n").unwrap();
        std::fs::write(&file, " hf_file\n").unwrap();
        let file = file.to_str().unwrap();
        for (variables, expected) in [
            (&[][..], Some("hf_home")),
            (&[("HF_TOKEN_PATH", file)], Some("hf_file")),
            (&[("HF_TOKEN_PATH", file), ("HF_TOKEN", " hf_env \n")], Some("hf_env")),
            (&[("HF_TOKEN", "hf_env"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
            (&[("HF_TOKEN_PATH", "/nowhere/token")], None),
        ] {
            let mut variables = variables.to_vec();
            variables.push(("HF_HOME", home));
            let settings = resolve(&variables).unwrap();
            assert_eq!(settings.token.as_ref().map(Secret::reveal), expected, "{variables:?}");
            assert!(!format!("{settings:?}").contains("hf_"), "{settings:?}");
        }
        let error = resolve(&[("HF_TOKEN", "hf_se\u{7}cret")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("cret"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_honoured_are_refused_by_name() {
        for (name, value) in [
            ("HF_ENDPOINT", "huggingface.co"),
            ("HF_ENDPOINT", "https://"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
            ("HF_HUB_ETAG_TIMEOUT", "-1"),
        ] {
            let error = resolve(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let settings = resolve(&[
            ("HF_ENDPOINT", "http://mirror.example/hf/"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "3"),
            ("HF_HUB_ETAG_TIMEOUT", "0"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.endpoint, "http://mirror.example/hf");
        assert_eq!((settings.stall, settings.answer), (Duration::from_secs(3), Duration::from_secs(10)));
    }

    #[test]
    fn a_proxy_is_chosen_by_scheme_and_host() {
        let proxies = resolve(&[
            ("HTTPS_PROXY", "http://ana:pass@one:1"),
            ("all_proxy", "http://two:2"),
            ("NO_PROXY", "localhost, .Example.org,10.0.0.1:8080"),
        ]);
        let proxies = proxies.unwrap().proxies;
        assert!(!format!("{proxies:?}").contains("pass"));
        let of = |https, host, port| proxies.of(https, host, port).map(|p| p.reveal().to_owned());
        assert_eq!(of(true, "huggingface.co", 443).as_deref(), Some("http://ana:pass@one:1"));
        assert_eq!(of(false, "huggingface.co", 80).as_deref(), Some("http://two:2"));
        for (host, port) in
            [("localhost", 80), ("example.org", 443), ("A.example.org", 443), ("10.0.0.1", 8080)]
        {
            assert_eq!(of(true, host, port), None, "{host}");
        }
        for (host, port) in [("notexample.org", 443), ("10.0.0.1", 80), ("localhost.com", 80)] {
            assert!(of(true, host, port).is_some(), "{host}");
        }
        let none = resolve(&[("HTTPS_PROXY", "http://one:1"), ("no_proxy", "*")]).unwrap();
        assert!(none.proxies.of(true, "huggingface.co", 443).is_none());
    }
}
