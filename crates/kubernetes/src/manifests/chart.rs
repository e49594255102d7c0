//! The same objects as a Helm chart. What the book says is written out; values are what a cluster chooses.

use attest::Json;

use super::template::MARK;
use super::{Manifests, Reach, Settings, render, template};

const VALUES: &str = include_str!("templates/chart/values.yaml");
const SCHEMA: &str = include_str!("templates/chart/values.schema.json");
const CHART: &str = include_str!("templates/chart/Chart.yaml");

/// What stands for each mark in a template of Helm.
const EXPRESSIONS: [(&str, &str); 4] = [
    ("image", ".Values.image"),
    ("storage", ".Values.storage"),
    ("own-images", "printf \"['%s']\" (join \"', '\" (prepend .Values.alsoImages .Values.image))"),
    ("resources", ".Values.resources | toJson"),
];

impl Settings {
    /// The same settings, with values of the chart where a cluster chooses.
    #[must_use]
    pub fn for_chart(&self) -> Self {
        let image = template::mark("image");
        Self {
            reach: Reach::Service { image },
            storage: template::mark("storage"),
            monitored: true,
            ..self.clone()
        }
    }
}

/// The files of the chart: path below its folder, and text. `manifests` are those of [`Settings::for_chart`], and
/// `settings` the ones that its values are taken from.
#[must_use]
pub fn chart(manifests: &Manifests, settings: &Settings, version: &str) -> Vec<(&'static str, String)> {
    let (mut install, mut monitor) = (Vec::new(), Vec::new());
    for object in &manifests.install {
        let is_monitor =
            object.as_object().is_ok_and(|o| o.get("kind") == Some(&Json::from("ServiceMonitor")));
        if is_monitor { &mut monitor } else { &mut install }.push(object.clone());
    }
    let image = match &settings.reach {
        Reach::Service { image } => image.as_str(),
        Reach::Url(_) => "",
    };
    let also = Json::from(settings.also_images.clone()).to_string();
    let values = [("${image}", image), ("${also}", &also), ("${storage}", &settings.storage)];
    let values = values.iter().fold(VALUES.to_owned(), |text, (name, value)| text.replace(name, value));
    vec![
        ("Chart.yaml", CHART.replace("${version}", version)),
        ("values.yaml", values.replace("${monitored}", &settings.monitored.to_string())),
        ("values.schema.json", SCHEMA.to_owned()),
        ("templates/install.yaml", text(&install)),
        ("templates/service-monitor.yaml", only_if("serviceMonitor", &monitor)),
        ("templates/webhooks.yaml", only_if("webhooks", &manifests.webhooks)),
        ("templates/policies.yaml", only_if("policies", &manifests.policies)),
    ]
}

fn only_if(value: &str, objects: &[Json]) -> String {
    format!("{{{{- if .Values.{value} }}}}\n{}{{{{- end }}}}\n", text(objects))
}

/// YAML in which nothing but our own marks means anything to Helm: a policy may hold two braces.
fn text(objects: &[Json]) -> String {
    let text = render::documents(objects).replace("{{", "{{ \"{{\" }}");
    EXPRESSIONS.iter().fold(text, |text, (name, expression)| {
        let mark = template::mark(name);
        let put = format!("{{{{ {expression} }}}}");
        // a value that is no text stands without the quotes of one
        let whole = format!("\"{mark}\"");
        let whole_put = if *name == "resources" { put.clone() } else { format!("\"{put}\"") };
        text.replace(&whole, &whole_put).replace(&mark, &put)
    })
}

/// Whether a text holds a character that stands for a value of the chart; none that a person wrote may.
pub(super) fn holds_mark(text: &str) -> bool {
    text.contains([MARK.0, MARK.1])
}
