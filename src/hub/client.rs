//! Questions to the hub and its answers: redirects, the token, proxies, and what may be tried again.

use super::error::Refusal;
use super::id::is_commit;
use super::settings::Secret;
use super::url::{Origin, escaped, join, plain_etag, shown};
use super::{HubError, ModelId, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use ureq::http::HeaderMap;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

/// Asks the hub.
#[derive(Debug)]
pub(super) struct Client {
    settings: Settings,
    direct: Agent,
    /// Through the proxies for `https://` and `http://`, where there are any.
    proxied: [Option<Agent>; 2],
}

/// What the hub says about a repository at a revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the hub says about a file.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    /// Name of its blob: 64 hexadecimal digits are its SHA-256, 40 the SHA-1 that git gives it.
    pub(super) etag: String,
    /// The `ETag` as it came, if the host that hands out the file is the one that said it: it can then be asked whether the
    /// file is still the same.
    pub(super) validator: Option<String>,
    /// In bytes.
    pub(super) size: Option<u64>,
}

/// An answer, and where it came from in the end, as it may be shown.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) url: String,
}

/// How a question is put.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Head,
    Get,
}

const MOST_REDIRECTS: usize = 10;

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, HubError> {
        let roots = settings.certificates.as_deref().map(certificates).transpose()?;
        let agent = |proxy: Option<Proxy>| {
            let tls = TlsConfig::builder().root_certs(roots.clone().unwrap_or(RootCerts::WebPki)).build();
            Agent::new_with_config(
                Agent::config_builder()
                    .http_status_as_error(false)
                    // Followed here, since what is sent to another host is decided here.
                    .max_redirects(0)
                    .max_redirects_will_error(false)
                    .proxy(proxy)
                    .tls_config(tls)
                    .timeout_connect(Some(settings.answer))
                    .timeout_resolve(Some(settings.answer))
                    .timeout_per_read(Some(settings.stall))
                    .timeout_per_write(Some(settings.stall))
                    .user_agent(concat!("undertone/", env!("CARGO_PKG_VERSION")))
                    .accept_encoding("identity")
                    .build(),
            )
        };
        let proxies = &settings.proxies;
        let proxied = |proxy: &Option<Secret>, name: &'static str| match proxy {
            None => Ok(None),
            Some(proxy) => match Proxy::new(proxy.reveal()) {
                Ok(proxy) => Ok(Some(agent(Some(proxy)))),
                Err(_) => Err(HubError::Setting { name, reason: "it is not the address of a proxy".into() }),
            },
        };
        let proxied = [proxied(&proxies.https, "HTTPS_PROXY")?, proxied(&proxies.http, "HTTP_PROXY")?];
        Ok(Self { settings: settings.clone(), direct: agent(None), proxied })
    }

    /// The commit that a revision stands for, and its files.
    pub(super) fn listing(&self, id: &ModelId) -> Result<Listing, HubError> {
        #[derive(serde::Deserialize)]
        struct Info {
            sha: Option<String>,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(serde::Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let Settings { endpoint, .. } = &self.settings;
        let url = format!("{endpoint}/api/models/{}/revision/{}", id.repo(), escaped(id.revision()));
        let response = self.ask(Method::Get, &url, &[])?;
        self.refuse(id, None, &response)?;
        let wrong = |reason: String| HubError::Answer { url: shown(&url), reason };
        let mut body = response.body;
        let body = body.with_config().limit(64 << 20).read_to_vec().map_err(|e| network(&url, e))?;
        let info: Info =
            serde_json::from_slice(&body).map_err(|e| wrong(format!("no JSON of a model: {e}")))?;
        let files = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        let commit = info.sha.filter(|sha| is_commit(sha));
        let commit = commit.ok_or_else(|| wrong("it names no commit (`sha`)".into()))?;
        match id.commit() {
            Some(asked) if asked != commit => {
                Err(wrong(format!("it names the commit {commit}, where {asked} was asked for")))
            }
            _ => Ok(Listing { commit, files }),
        }
    }

    /// What the hub says about a file of a commit, without fetching it.
    pub(super) fn metadata(&self, id: &ModelId, commit: &str, file: &str) -> Result<Metadata, HubError> {
        let url = self.file_url(id, commit, file);
        let response = self.ask(Method::Head, &url, &[])?;
        self.refuse(id, Some(file), &response)?;
        let wrong = |reason: String| HubError::Answer { url: shown(&url), reason };
        let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(found) = header("x-repo-commit").filter(|found| *found != commit) {
            return Err(wrong(format!("`X-Repo-Commit` is {found}, where {commit} was asked for")));
        }
        let (linked, own) = (header("x-linked-etag"), header("etag"));
        let etag = linked.or(own).map(plain_etag).ok_or_else(|| wrong("`ETag` is missing".into()))?;
        // It becomes the name of a file.
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=');
        if etag.is_empty() || etag.len() > 128 || etag.starts_with('.') || !etag.chars().all(safe) {
            return Err(wrong(format!("`ETag` is {etag:?}, which cannot be the name of a file")));
        }
        let redirected = (300..400).contains(&response.status);
        let length = header("content-length").filter(|_| !redirected);
        let size = header("x-linked-size").or(length).and_then(|size| size.parse().ok());
        let validator = own.filter(|own| linked.is_none() && !own.starts_with("W/")).map(str::to_owned);
        Ok(Metadata { etag: etag.to_owned(), validator, size })
    }

    /// Begins to fetch a file, from some byte on.
    pub(super) fn fetch(
        &self,
        id: &ModelId,
        commit: &str,
        file: &str,
        range: Option<(u64, Option<&str>)>,
    ) -> Result<Response, HubError> {
        let mut headers = Vec::new();
        if let Some((from, validator)) = range {
            headers.push(("range", format!("bytes={from}-")));
            headers.extend(validator.map(|etag| ("if-range", etag.to_owned())));
        }
        let response = self.ask(Method::Get, &self.file_url(id, commit, file), &headers)?;
        if response.status != 416 {
            self.refuse(id, Some(file), &response)?;
        }
        Ok(response)
    }

    fn file_url(&self, id: &ModelId, commit: &str, file: &str) -> String {
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint, id.repo(), escaped(file))
    }

    /// Asks, and follows redirects. The token goes to the hub's own scheme, host and port and nowhere else; once a redirect has
    /// led elsewhere it is not sent any more.
    fn ask(&self, method: Method, url: &str, headers: &[(&str, String)]) -> Result<Response, HubError> {
        let mut url = url.to_owned();
        let mut token = self.settings.token.as_ref();
        for _ in 0..=MOST_REDIRECTS {
            let (agent, origin) = self.agent(&url)?;
            if origin != Origin::of(&self.settings.endpoint)? {
                token = None;
            }
            let mut request = match method {
                // The answer to a question about a file has no body: it may take so long and no longer.
                Method::Head => {
                    let limit = Some(self.settings.answer);
                    agent.head(&url).config().timeout_recv_response(limit).build()
                }
                Method::Get => agent.get(&url),
            };
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {}", token.reveal()));
            }
            let response = request.call().map_err(|e| network(&url, e))?;
            let status = response.status().as_u16();
            let (parts, body) = response.into_parts();
            let location = parts.headers.get("location").and_then(|value| value.to_str().ok());
            let next = match (status, location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => join(&url, location)?,
                _ => return Ok(Response { status, headers: parts.headers, body, url: shown(&url) }),
            };
            // What is known of a file stands in the answer that leads away from the hub, not in that of the host it leads to.
            let told =
                parts.headers.contains_key("x-linked-etag") || parts.headers.contains_key("x-repo-commit");
            if method == Method::Head && told && Origin::of(&next)? != origin {
                return Ok(Response { status, headers: parts.headers, body, url: shown(&url) });
            }
            url = next;
        }
        Err(HubError::Answer { url: shown(&url), reason: format!("more than {MOST_REDIRECTS} redirects") })
    }

    /// The agent for an address, through a proxy or not.
    fn agent(&self, url: &str) -> Result<(&Agent, Origin), HubError> {
        let origin = Origin::of(url)?;
        let proxied = &self.proxied[usize::from(!origin.https)];
        let wanted = self.settings.proxies.of(origin.https, &origin.host, origin.port).is_some();
        Ok((proxied.as_ref().filter(|_| wanted).unwrap_or(&self.direct), origin))
    }

    /// Turns an answer that is none into an error.
    fn refuse(&self, id: &ModelId, file: Option<&str>, response: &Response) -> Result<(), HubError> {
        let Response { status, headers, url, .. } = response;
        match status {
            200..400 => Ok(()),
            408 | 429 | 500.. => {
                Err(HubError::Status { url: url.clone(), status: *status, wait: retry_after(headers) })
            }
            _ => Err(HubError::Refused {
                refusal: Refusal {
                    id: id.to_string(),
                    endpoint: shown(&self.settings.endpoint),
                    status: *status,
                    code: headers.get("x-error-code").and_then(|c| c.to_str().ok()).map(str::to_owned),
                    file: file.map(str::to_owned),
                    token: self.settings.token.is_some(),
                },
            }),
        }
    }
}

/// How long an answer asks to wait (`Retry-After`): in seconds, or until a date. What is past needs no wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |name: &str| text(name).and_then(|date| httpdate::parse_http_date(date).ok());
    if let Ok(seconds) = text("retry-after")?.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // By the hub's clock, where it tells the time: ours may be wrong.
    let now = date("date").unwrap_or_else(SystemTime::now);
    Some(date("retry-after")?.duration_since(now).unwrap_or_default())
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<RootCerts, HubError> {
    let pem = std::fs::read(path).map_err(|e| HubError::file(path, e))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| if let Ok(PemItem::Certificate(found)) = item { Some(found) } else { None })
        .collect();
    if certificates.is_empty() {
        let reason = format!("{} holds no certificates in PEM form", path.display());
        return Err(HubError::Setting { name: "SSL_CERT_FILE", reason });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// What went wrong on the way, and whether another try may help: not where the other side is not who it should be.
fn network(url: &str, error: ureq::Error) -> HubError {
    use ureq::Error;
    let again = matches!(
        error,
        Error::Io(_) | Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed | Error::Protocol(_)
    );
    let certificate =
        |e: &std::io::Error| e.get_ref().is_some_and(|inner| inner.to_string().contains("certificate"));
    let again = again && !matches!(&error, Error::Io(e) if certificate(e));
    let mut reason = error.to_string();
    if let Error::ConnectProxyFailed(_) = error {
        reason += "\n\nhint: the proxy is asked for a tunnel (CONNECT), also to a hub at http://, and many allow those to port 443 alone; \
                   HF_ENDPOINT can name an address at https://, NO_PROXY a host that is reached without proxy";
    }
    HubError::Network { url: shown(url), reason, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let header = |(name, value): &(&'static str, &str)| {
            (ureq::http::HeaderName::from_static(name), value.parse().unwrap())
        };
        retry_after(&headers.iter().map(header).collect())
    }

    #[test]
    fn a_wait_may_be_asked_for_in_seconds_or_until_a_date() {
        let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(&[("retry-after", " 20 ")]), seconds(20));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:07 GMT"), date]), seconds(7));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT"), date]), seconds(0));
        // By our own clock that was long ago.
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:07 GMT")]), seconds(0));
        for none in ["", "soon", "-1", "07:28:07"] {
            assert_eq!(wait(&[("retry-after", none), date]), None, "{none}");
        }
        assert_eq!(wait(&[date]), None);
        let soon = SystemTime::now() + Duration::from_secs(90);
        let left = wait(&[("retry-after", &httpdate::fmt_http_date(soon))]).unwrap();
        // A date has no fractions, and the test takes its time.
        assert!((60..=90).contains(&left.as_secs()), "{left:?}");
    }
}
