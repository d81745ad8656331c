//! Archives of repositories at GitHub, GitLab and SourceHut.
//!
//! Tokens for private repositories are not sent.

use nopal_eval::host::{HostError, HostResult};
use nopal_format::flake::url::percent_encode;
use nopal_format::flake::{Attr, Input};
use nopal_format::json::Json;

use super::{Source, Tree, git_program, invalid, named};
use crate::engine::Shared;
use crate::fetch::Fetch;
use crate::host::failed;

/// Where to ask.
struct Place<'a> {
    kind: &'a str,
    host: &'a str,
    owner: &'a str,
    repo: &'a str,
}

pub(super) fn fetch(shared: &Shared, input: &Input) -> HostResult<Source> {
    let mut input = input.clone();
    let original = input.clone();
    let place = Place::of(&original)?;
    let rev = match input.rev().map_err(invalid)? {
        Some(rev) => rev,
        None => place.rev(shared, input.text("ref").map_err(invalid)?.unwrap_or("HEAD"))?,
    };
    input.remove("ref");
    input.set("rev", rev.as_str());
    let mount = named(&input)?;
    let url = place.archive(&rev);
    let fetch = Fetch { shared };
    let archive = fetch.download_archive(&url, &input.to_text().map_err(invalid)?)?;
    let (temp, root, newest) = fetch.unpack_to_temp(&archive, &url)?;
    input.set("lastModified", Attr::Int(newest));
    Ok(Source { input, tree: Tree::Path { root, only: None, temp: Some(temp) }, mount: Some(mount), key: None })
}

impl<'a> Place<'a> {
    fn of(input: &'a Input) -> HostResult<Self> {
        let kind = input.kind();
        let host = match (input.text("host").map_err(invalid)?, kind) {
            (Some(host), _) => host,
            (None, "github") => "github.com",
            (None, "gitlab") => "gitlab.com",
            (None, _) => "git.sr.ht",
        };
        let (owner, repo) = (input.need("owner").map_err(invalid)?, input.need("repo").map_err(invalid)?);
        Ok(Self { kind, host, owner, repo })
    }

    /// Owner and repository as one name, for GitLab.
    fn project(&self) -> String {
        format!("{}%2F{}", percent_encode(self.owner, b""), percent_encode(self.repo, b""))
    }

    /// The commit that a branch or tag is now.
    fn rev(&self, shared: &Shared, reference: &str) -> HostResult<String> {
        let (host, owner, repo) = (self.host, self.owner, self.repo);
        let url = match self.kind {
            "github" if host == "github.com" => {
                format!("https://api.github.com/repos/{owner}/{repo}/commits/{reference}")
            }
            "github" => format!("https://{host}/api/v3/repos/{owner}/{repo}/commits/{reference}"),
            "gitlab" => {
                format!("https://{host}/api/v4/projects/{}/repository/commits?ref_name={reference}", self.project())
            }
            _ => return self.rev_of_remote(shared, reference),
        };
        let file = Fetch { shared }.download(&url, None)?;
        let text = nopal_fs::read_to_string(&file).map_err(failed)?;
        let json = Json::parse(&text).map_err(|error| HostError::Failed(format!("{url}: {error}")))?;
        let commit = match (&json, self.kind) {
            (Json::Array(commits), "gitlab") => commits.first().and_then(|commit| commit.get("id")),
            _ => json.get("sha"),
        };
        match commit {
            Some(Json::String(rev)) => Ok(rev.clone()),
            _ => Err(HostError::Failed(format!("No commits returned by '{url}' -- does the Git ref really exist?"))),
        }
    }

    /// SourceHut tells commits by Git's own protocol only.
    fn rev_of_remote(&self, shared: &Shared, reference: &str) -> HostResult<String> {
        let url = format!("https://{}/{}/{}", self.host, self.owner, self.repo);
        let found = git_program(shared).remote_rev(&url, reference).map_err(super::git::failed)?;
        found.ok_or_else(|| HostError::Failed(format!("in '{url}', couldn't find ref '{reference}'")))
    }

    fn archive(&self, rev: &str) -> String {
        let (host, owner, repo) = (self.host, self.owner, self.repo);
        match self.kind {
            "github" if host == "github.com" => format!("https://github.com/{owner}/{repo}/archive/{rev}.tar.gz"),
            "github" => format!("https://{host}/api/v3/repos/{owner}/{repo}/tarball/{rev}"),
            "gitlab" => {
                format!("https://{host}/api/v4/projects/{}/repository/archive.tar.gz?sha={rev}", self.project())
            }
            _ => format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz"),
        }
    }
}
