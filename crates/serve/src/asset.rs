//! The page's files, in the program itself. A name is looked up in this list and nowhere else.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $kind:literal, $path:literal;)*) => {
        &[$(Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("../assets/", $path)) },)*]
    };
}

const ASSETS: &[Asset] = assets! {
    "index.html": "text/html; charset=utf-8", "index.html";
    "style.css": "text/css; charset=utf-8", "style.css";
    "icon.svg": "image/svg+xml", "icon.svg";
    "api.js": "text/javascript; charset=utf-8", "api.js";
    "axis.js": "text/javascript; charset=utf-8", "axis.js";
    "curves.js": "text/javascript; charset=utf-8", "curves.js";
    "dom.js": "text/javascript; charset=utf-8", "dom.js";
    "format.js": "text/javascript; charset=utf-8", "format.js";
    "grid.js": "text/javascript; charset=utf-8", "grid.js";
    "main.js": "text/javascript; charset=utf-8", "main.js";
    "palette.js": "text/javascript; charset=utf-8", "palette.js";
    "place.js": "text/javascript; charset=utf-8", "place.js";
    "scaling.js": "text/javascript; charset=utf-8", "scaling.js";
    "sweeps.js": "text/javascript; charset=utf-8", "sweeps.js";
    "table.js": "text/javascript; charset=utf-8", "table.js";
    "trial.js": "text/javascript; charset=utf-8", "trial.js";
    "trials.js": "text/javascript; charset=utf-8", "trials.js";
    "uplot.js": "text/javascript; charset=utf-8", "vendor/uplot/uPlot.esm.js";
    "uplot.css": "text/css; charset=utf-8", "vendor/uplot/uPlot.min.css";
    "uplot-licence.txt": "text/plain; charset=utf-8", "vendor/uplot/LICENSE";
};

/// The file, or that the browser has it already, or that there is none.
pub fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let tag = format!("\"{}\"", &blake3::hash(asset.bytes).to_hex()[..16]);
    let has_it =
        asked.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let headers = [
        (header::CONTENT_TYPE, asset.kind.to_owned()),
        (header::ETAG, tag),
        // Kept, but asked about: a newer isoflop has other files under the same names.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    match has_it {
        true => (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response(),
        false => (headers, asset.bytes).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        std::str::from_utf8(ASSETS.iter().find(|asset| asset.name == name).unwrap().bytes).unwrap()
    }

    #[test]
    fn the_page_asks_for_nothing_that_is_not_here() {
        let page = text("index.html");
        let named = page.split("/assets/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let mut n = 0;
        for name in named {
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            n += 1;
        }
        assert!(n >= 10, "{n} files");
    }

    /// Every module is preloaded, so that the page waits for the network once, and imports what is here.
    #[test]
    fn every_module_is_preloaded_and_imports_what_is_here() {
        let scripts = ASSETS.iter().filter(|asset| asset.name.ends_with(".js"));
        for asset in scripts {
            let preloaded = format!("\"/assets/{}\"", asset.name);
            assert!(text("index.html").contains(&preloaded), "{}", asset.name);
            let imports = text(asset.name).lines().filter(|line| line.starts_with("import "));
            for line in imports {
                let from = line.rsplit('"').nth(1).unwrap();
                let name = from.trim_start_matches("./").trim_start_matches("/assets/");
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{}: {line}", asset.name);
            }
        }
    }

    /// The policy forbids what would run or style from within the page; text is never markup.
    #[test]
    fn nothing_is_inline_and_no_text_becomes_markup() {
        let page = text("index.html");
        for inline in ["<style", "style=", " onclick", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "{inline}");
        }
        for asset in
            ASSETS.iter().filter(|asset| asset.name.ends_with(".js") && asset.name != "uplot.js")
        {
            for markup in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text(asset.name).contains(markup), "{}: {markup}", asset.name);
            }
        }
    }
}
