//! Tables and properties of messages.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let mut variables = Variables::default();
    for (name, value) in pairs {
        variables.insert(name, (*value).to_owned()).unwrap();
    }
    variables
}

fn phone() -> Recipient {
    Recipient::parse("919876543210").unwrap()
}

fn text(source: &str) -> MessageSpec {
    MessageSpec::Text { text: source.to_owned() }
}

fn template(parameters: &[&str]) -> MessageSpec {
    MessageSpec::Template(TemplateSpec {
        name: "order_update".to_owned(),
        language: "en".to_owned(),
        parameters: parameters.iter().map(|&parameter| parameter.to_owned()).collect(),
        ..TemplateSpec::default()
    })
}

/// Renders one text for Ana; answers the text or the problem as its author sees it.
fn check(source: &str, seed: u64) -> String {
    let ana = variables(&[("name", "Ana"), ("City", "São {{x}} \\{Paulo|"), ("empty", "")]);
    let template = match MessageTemplate::compile(&text(source)) {
        Ok(template) => template,
        Err(problem) => return problem.to_string(),
    };
    match template.render(&ana, &phone(), seed) {
        Ok(Content::Text { body }) => body,
        Ok(content) => format!("{content:?}"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn placeholders_are_filled_in() {
    let table = [
        ("Hello", "Hello"),
        ("Hello {{name}}!", "Hello Ana!"),
        ("{{ name }}{{name}}", "AnaAna"),
        ("{{NAME}}", "Ana"),
        ("{{phone}}", "919876543210"),
        ("{{nick|friend}}", "friend"),
        ("{{name|friend}}", "Ana"),
        ("[{{nick|}}]", "[]"),
        ("[{{empty|friend}}]", "[]"),
        ("{{nick|a \\| \\{b\\}}}", "a | {b}"),
        // Values are not read as syntax, whatever they hold.
        ("{{city}}", "São {{x}} \\{Paulo|"),
        ("{{{city}}|{{city}}}", "São {{x}} \\{Paulo|"),
        (r"\{{name\}} \{a\|b\} \\ \x \", "The brace closes nothing"),
        (r"\{name\} \{a\|b\} \\ \x \", r"{name} {a|b} \ \x \"),
        ("a | b || c", "a | b || c"),
        ("{Hi {{name}}|Hi {{name}}}, \u{1f600}", "Hi Ana, \u{1f600}"),
        ("{{nick}}", "The variable nick has no value and no default."),
        ("{{empty}} ", "The rendered text is empty."),
        (" \n", "The text is empty."),
    ];
    for (source, expected) in table {
        let shown = check(source, 7);
        if expected.starts_with("The brace") {
            assert!(shown.starts_with("Text, position 3:"), "{source:?}: {shown}");
        } else {
            assert_eq!(shown, expected, "{source:?}");
        }
    }
}

#[test]
fn bad_syntax_is_named_with_its_position() {
    use SyntaxFault as F;
    let long = format!("{{{{{}}}}}", "n".repeat(65));
    let table = [
        ("Hi {{name", 4, F::UnclosedVariable),
        ("Hi {{name}", 4, F::UnclosedVariable),
        ("é {{name} there}}", 3, F::UnclosedVariable),
        ("{{a{{b}}", 1, F::UnclosedVariable),
        ("{{name|x{y}}", 1, F::UnclosedVariable),
        ("{{}}", 1, F::EmptyVariable),
        ("{{ }}", 1, F::EmptyVariable),
        ("{{|x}}", 1, F::EmptyVariable),
        ("{{a\nb}}", 1, F::BadName),
        ("{{a\\b}}", 1, F::BadName),
        (&long, 1, F::BadName),
        ("x {a|b", 3, F::UnclosedVariants),
        ("x {", 3, F::UnclosedVariants),
        ("{}", 1, F::EmptyVariants),
        ("{|}", 1, F::EmptyVariants),
        ("Hi {name}", 4, F::SingleVariant),
        ("{{{name}}}", 1, F::SingleVariant),
        ("{a|{b|c}}", 4, F::NestedVariants),
        ("a } b", 3, F::Unopened),
        ("{{name}}}", 9, F::Unopened),
        ("{a|b}}", 6, F::Unopened),
    ];
    for (source, position, fault) in table {
        let problem = MessageTemplate::compile(&text(source)).unwrap_err();
        assert_eq!(problem, MessageProblem::TextSyntax(SyntaxProblem { position, fault }), "{source:?}");
    }
    assert_eq!(
        check("Hi {name}", 0),
        "Text, position 4: there is nothing to choose between; for a variable write two braces, for a brace as such \\{."
    );
    assert_eq!(check("{{x", 0), "Text, position 1: the variable that begins here is not closed by }}.");
}

#[test]
fn picks_stay_the_same_from_release_to_release() {
    let shown: Vec<String> = (0..8).map(|seed| check("{a|b|c}{1|2}{|!}", seed)).collect();
    assert_eq!(shown, ["c1", "b2!", "b2!", "a2!", "b2!", "b2", "c1", "b1!"]);
}

#[test]
fn variants_are_equally_likely() {
    let template = MessageTemplate::compile(&text("{a|b|c}{x|y}")).unwrap();
    let mut counts = BTreeMap::new();
    for seed in 0..60_000 {
        let content = template.render(&Variables::default(), &phone(), seed).unwrap();
        let Content::Text { body } = content else { panic!("text became a template") };
        *counts.entry(body).or_insert(0_i32) += 1;
    }
    assert_eq!(counts.len(), 6);
    for (body, n) in counts {
        // Five standard deviations of 60,000 draws at 1/6.
        assert!((n - 10_000).abs() < 460, "{body}: {n}");
    }
}

/// What is wrong with a message, by its field.
fn wrong(message: serde_json::Value) -> String {
    let shown = message.to_string();
    let spec: MessageSpec = serde_json::from_value(message).unwrap();
    let problem = MessageTemplate::compile(&spec).expect_err(&shown);
    format!("{}: {problem}", problem.field())
}

#[test]
fn parts_are_checked_and_named() {
    let buttons = |rest: serde_json::Value| {
        let mut message = json!({"type": "buttons", "text": "Hi", "buttons": [{"id": "1", "title": "A"}]});
        message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        wrong(message)
    };
    let row = |id: usize| json!({"id": id.to_string(), "title": "T"});
    let list =
        |sections: serde_json::Value| wrong(json!({"type": "list", "text": "Hi", "button": "B", "sections": sections}));
    let template = |rest: serde_json::Value| {
        let mut message = json!({"type": "template", "name": "n", "language": "en"});
        message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        wrong(message)
    };
    let rows: Vec<_> = (0..11).map(row).collect();
    let place = json!({"type": "location", "latitude": 1, "longitude": 2});
    let picture = json!({"type": "image", "mediaUrl": "https://a.example", "caption": "x"});
    let shown = [
        buttons(json!({"buttons": []})),
        buttons(json!({"buttons": [{"id": "1", "title": "A"}, {"id": "1", "title": "B"}]})),
        buttons(json!({"buttons": [{"id": "1", "title": "A"}, {"id": "2", "title": "A"}]})),
        buttons(json!({"buttons": [{"id": "1", "title": "x".repeat(21)}]})),
        buttons(json!({"text": " "})),
        buttons(json!({"text": "x".repeat(1_025)})),
        buttons(json!({"footer": "{{"})),
        buttons(json!({"header": place})),
        buttons(json!({"header": picture})),
        buttons(json!({"header": {"type": "text", "text": "x".repeat(61)}})),
        list(json!([])),
        list(json!([{"rows": rows}])),
        list(json!([{"rows": [row(1)]}, {"rows": [row(2)]}])),
        list(json!([{"rows": [row(1), row(1)]}])),
        wrong(json!({"type": "link", "text": "Hi", "button": "B", "url": "ftp://a.example"})),
        wrong(json!({"type": "reaction", "messageId": "a b", "emoji": "👍"})),
        wrong(json!({"type": "reaction", "messageId": "wamid.1", "emoji": "yes"})),
        wrong(json!({"type": "sticker", "mediaUrl": "https://a.example", "caption": "x"})),
        template(json!({"parameters": ["a"], "namedParameters": {"b": "c"}})),
        template(json!({"namedParameters": {"B c": "d"}})),
        template(json!({"buttons": [{"index": 10, "type": "url", "value": "x"}]})),
        template(
            json!({"buttons": [{"index": 1, "type": "url", "value": "x"}, {"index": 1, "type": "url", "value": "y"}]}),
        ),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r"
    buttons: There must be 1 to 3 buttons.
    buttons: Each button needs an id of its own.
    buttons: Each button needs a title of its own.
    buttons: The title of a button must have 1 to 20 characters in one line.
    text: The text is empty.
    text: The text is longer than 1024 characters.
    footer: In footer, position 1: the variable that begins here is not closed by }}.
    header: Only the header of a template is a place.
    header: The file of a header has no caption.
    header.text: The header.text is longer than 60 characters.
    sections: There must be 1 to 10 rows over all sections, and no section without one.
    sections: There must be 1 to 10 rows over all sections, and no section without one.
    sections: Each of several sections needs a title.
    sections: Each row needs an id of its own.
    url: The url must begin with https:// or http://.
    messageId: The messageId must be the provider's name of a message that somebody wrote.
    emoji: The emoji must be one emoji, or empty to take one away.
    caption: A recording or a sticker has no caption.
    namedParameters: The parameters stand either in order or by their names.
    namedParameters: The name of a parameter must be 1 to 64 small letters, digits or underscores.
    buttons: The index of a button is from 0 to 9, each once.
    buttons: The index of a button is from 0 to 9, each once.
    ");
}

#[test]
fn a_tag_is_a_word_also_inside_another() {
    let link = |kind: serde_json::Value| json!({"type": "link", "header": {"type": kind, "text": "Hi"}, "text": "Hi", "button": "B", "url": "https://a.example"});
    assert!(serde_json::from_value::<MessageSpec>(link("text".into())).is_ok());
    for kind in [json!(0), json!(null), json!("poem")] {
        let text = link(kind).to_string();
        assert!(serde_json::from_str::<MessageSpec>(&text).is_err(), "{text}");
    }
}

#[test]
fn parts_are_filled_in_and_read_back() {
    let message = json!({
        "type": "link", "header": {"type": "text", "text": "Hello {{name}}"}, "text": "{Hi|Hi} {{name}}", "footer": "{{city|Pune}}",
        "button": "Open", "url": "https://a.example/{{order}}",
    });
    let spec: MessageSpec = serde_json::from_value(message.clone()).unwrap();
    let compiled = MessageTemplate::compile(&spec).unwrap();
    assert_eq!(compiled.variables(), ["city", "name", "order"]);
    let filled = variables(&[("name", "Ana"), ("order", "17")]);
    let content = compiled.render(&filled, &phone(), 1).unwrap();
    assert_eq!(
        serde_json::to_value(MessageSpec::from(content)).unwrap(),
        json!({
            "type": "link", "header": {"type": "text", "text": "Hello Ana"}, "text": "Hi Ana", "footer": "Pune",
            "button": "Open", "url": "https://a.example/17",
        })
    );
    let broken = variables(&[("name", "A\nB"), ("order", "17")]);
    assert_eq!(
        compiled.render(&broken, &phone(), 1).unwrap_err().to_string(),
        "The rendered header.text has a line break or a tab."
    );
    let spaced = variables(&[("name", "Ana"), ("order", "1 7")]);
    assert_eq!(compiled.render(&spaced, &phone(), 1).unwrap_err(), RenderProblem::BadUrl);
    let literally = MessageTemplate::compile(&spec.literally()).unwrap();
    assert_eq!(literally.variables(), [""; 0]);
}

#[test]
fn templates_are_rendered_parameter_by_parameter() {
    let compiled = MessageTemplate::compile(&template(&["{{name}}", "{A|B} {{phone}}", "{{total|0}}"])).unwrap();
    let content = compiled.render(&variables(&[("name", "Ana")]), &phone(), 1).unwrap();
    let Content::Template(TemplateContent { name, language, parameters, .. }) = &content else { panic!("{content:?}") };
    assert_eq!((&**name, &**language), ("order_update", "en"));
    assert_eq!(parameters, &["Ana", "B 919876543210", "0"]);
    assert_eq!(compiled.variables(), ["name", "total"]);
    assert_eq!(format!("{content:?}"), "Template(\"order_update\", \"en\", 3 parameters)");

    let table = [
        ("", RenderProblem::EmptyParameter { parameter: 2 }),
        ("a\nb", RenderProblem::ParameterLayout { parameter: 2 }),
        ("a\tb", RenderProblem::ParameterLayout { parameter: 2 }),
        ("a     b", RenderProblem::ParameterLayout { parameter: 2 }),
    ];
    let compiled = MessageTemplate::compile(&template(&["x", "{{v}}{{w|}}"])).unwrap();
    for (value, expected) in table {
        assert_eq!(compiled.render(&variables(&[("v", value)]), &phone(), 0), Err(expected), "{value:?}");
    }
    assert!(compiled.render(&variables(&[("v", "a    b")]), &phone(), 0).is_ok());
    let halves = variables(&[("v", &"é".repeat(1_024)), ("w", "x")]);
    assert_eq!(compiled.render(&halves, &phone(), 0), Err(RenderProblem::ParameterTooLong { parameter: 2 }));
}

#[test]
fn bounds_are_checked_before_and_after_rendering() {
    let compiled = MessageTemplate::compile(&text(&format!("{}{{{{v}}}}", "é".repeat(4_090)))).unwrap();
    let fits = variables(&[("v", "123456")]);
    assert!(compiled.render(&fits, &phone(), 0).is_ok());
    let over = variables(&[("v", "1234567")]);
    assert_eq!(compiled.render(&over, &phone(), 0), Err(RenderProblem::TextTooLong));

    let compile = |spec: &MessageSpec| MessageTemplate::compile(spec).unwrap_err();
    assert_eq!(compile(&text(&"x".repeat(4_097))), MessageProblem::TextTooLong);
    assert_eq!(compile(&text(&"x".repeat(16_385))), MessageProblem::SourceTooLong);
    assert_eq!(compile(&template(&["x"; 33])), MessageProblem::TooManyParameters);
    assert_eq!(compile(&template(&["x", " "])), MessageProblem::EmptyParameter { parameter: 2 });
    assert_eq!(compile(&template(&[&"x".repeat(1_025)])), MessageProblem::ParameterTooLong { parameter: 1 });
    assert_eq!(
        compile(&template(&["x", "{{"])).to_string(),
        "Parameter 2, position 1: the variable that begins here is not closed by }}."
    );
    for (name, language, expected) in [
        ("", "en", MessageProblem::BadTemplateName),
        ("Order", "en", MessageProblem::BadTemplateName),
        (&"x".repeat(513), "en", MessageProblem::BadTemplateName),
        ("order", "", MessageProblem::BadLanguage),
        ("order", "en-US", MessageProblem::BadLanguage),
    ] {
        let (name, language) = (name.to_owned(), language.to_owned());
        let spec = MessageSpec::Template(TemplateSpec { name, language, ..TemplateSpec::default() });
        assert_eq!(compile(&spec), expected, "{spec:?}");
    }
}

#[test]
fn a_hidden_phone_number_is_a_missing_variable() {
    let lid = Recipient::parse("123456@lid").unwrap();
    let render = |source: &str, own: &Variables| MessageTemplate::compile(&text(source)).unwrap().render(own, &lid, 0);
    let none = Variables::default();
    assert_eq!(render("{{phone}}", &none), Err(RenderProblem::MissingVariable { name: "phone".into() }));
    assert_eq!(render("{{phone|?}}", &none), Ok(Content::Text { body: "?".to_owned() }));
    let own = variables(&[("phone", "ask")]);
    assert_eq!(render("{{phone}}", &own), Ok(Content::Text { body: "ask".to_owned() }));
}

#[test]
fn names_of_variables_are_listed_once_each() {
    let source = "{{b}} {{a|x}} {{phone}} {{{c}}|{{b}} {{d}}}";
    let template = MessageTemplate::compile(&text(source)).unwrap();
    assert_eq!(template.variables(), ["a", "b", "c", "d"]);
}

#[test]
fn the_wire_form_is_fixed() {
    let table = [
        (r#"{"type":"text","text":"Hello {{name}}"}"#, true),
        (r#"{"type":"template","name":"order_update","language":"en","parameters":["{{name}}"]}"#, true),
        (r#"{"type":"text","text":"x","extra":1}"#, false),
        (r#"{"type":"template","name":"a","language":"en","components":[]}"#, false),
        (r#"{"type":"text"}"#, false),
        (r#"{"type":"image","text":"x"}"#, false),
        (r#"{"text":"x"}"#, false),
    ];
    for (json, is_good) in table {
        match serde_json::from_str::<MessageSpec>(json) {
            Ok(spec) => {
                assert!(is_good, "{json}");
                assert_eq!(serde_json::to_string(&spec).unwrap(), json);
            }
            Err(error) => assert!(!is_good, "{json}: {error}"),
        }
    }
    let without: MessageSpec = serde_json::from_str(r#"{"type":"template","name":"a","language":"en"}"#).unwrap();
    assert_eq!(format!("{without:?}"), "Template(\"a\", \"en\", 0 parameters)");
    assert_eq!(format!("{:?}", text("secret")), "Text(6 bytes)");
}

#[test]
fn variables_keep_their_bounds() {
    let read = |json: &str| serde_json::from_str::<Variables>(json);
    let ana = read(r#"{"name":"Ana","b":"2"}"#).unwrap();
    assert_eq!(serde_json::to_string(&ana).unwrap(), r#"{"b":"2","name":"Ana"}"#);
    assert_eq!(format!("{ana:?}"), r#"{"b", "name"}"#);
    assert_eq!((ana.len(), ana.is_empty()), (2, false));
    let long = "x".repeat(1_025);
    for json in [
        r#"{"":"x"}"#.to_owned(),
        r#"{"a|b":"x"}"#.to_owned(),
        r#"{"a":1}"#.to_owned(),
        "[]".to_owned(),
        format!(r#"{{"{}":"x"}}"#, "n".repeat(65)),
        format!(r#"{{"a":"{long}"}}"#),
    ] {
        let error = read(&json).unwrap_err().to_string();
        assert!(!error.contains(&long), "{error}");
    }
    let many = |n: usize| (0..n).map(|i| (format!("v{i}"), String::new())).collect::<BTreeMap<_, _>>();
    assert!(Variables::try_from(many(32)).is_ok());
    assert_eq!(Variables::try_from(many(33)), Err(VariablesProblem::TooMany));
    assert!(read(&serde_json::to_string(&many(33)).unwrap()).is_err());
    let mut full = Variables::try_from(many(32)).unwrap();
    assert_eq!(full.insert("v0", "new".to_owned()), Ok(()));
    assert_eq!(full.get("v0"), Some("new"));
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_refused_and_renders_alike_twice(
        source in "[a-c {}|\\\\]{0,40}",
        value in "\\PC{0,20}",
        seed: u64,
    ) {
        let own = variables(&[("a", &value), ("b", &value), ("c", "")]);
        if let Ok(template) = MessageTemplate::compile(&text(&source)) {
            let first = template.render(&own, &phone(), seed);
            prop_assert_eq!(&first, &template.render(&own, &phone(), seed));
        }
    }

    #[test]
    fn escaped_text_comes_out_as_it_was(body in "\\PC{1,60}") {
        prop_assume!(!body.trim().is_empty());
        let mut source = String::new();
        for c in body.chars() {
            if matches!(c, '{' | '}' | '|' | '\\') {
                source.push('\\');
            }
            source.push(c);
        }
        prop_assert_eq!(check(&source, 0), body);
    }

    #[test]
    fn values_come_out_as_they_are(value in "\\PC{1,60}") {
        prop_assume!(!value.trim().is_empty());
        let template = MessageTemplate::compile(&text("{{v}}")).unwrap();
        let content = template.render(&variables(&[("v", &value)]), &phone(), 0);
        prop_assert_eq!(content, Ok(Content::Text { body: value }));
    }
}

fn media(json: &str) -> Result<MessageTemplate, String> {
    let spec: MessageSpec = serde_json::from_str(json).map_err(|error| error.to_string())?;
    MessageTemplate::compile(&spec).map_err(|problem| problem.to_string())
}

#[test]
fn captions_are_rendered_and_files_named() {
    let tenant_id = TenantId::generate();
    let id = "0198c0de-0000-7000-8000-0000000000aa";
    let json = format!(r#"{{"type":"document","mediaId":"{id}","caption":"For {{{{name}}}}","filename":"Bill.pdf"}}"#);
    let spec: MessageSpec = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), json, "reads back as it is written");
    let template = MessageTemplate::compile_for(&spec, tenant_id).unwrap();
    assert_eq!(template.variables(), ["name"]);
    let content = template.render(&variables(&[("name", "Ana")]), &phone(), 1).unwrap();
    let Content::Media(media) = content.clone() else { panic!("{content:?}") };
    assert_eq!((media.kind, media.caption.as_deref()), (MediaKind::Document, Some("For Ana")));
    let MediaSource::Stored(key) = media.source else { panic!("not ours") };
    assert_eq!((key.tenant_id, key.media_id.to_string().as_str()), (tenant_id, id));
    assert_eq!(serde_json::to_value(MessageSpec::from(content)).unwrap()["caption"], "For Ana");

    let bare = self::media(r#"{"type":"image","mediaUrl":"https://example.com/a.png","caption":"{{name|}}"}"#).unwrap();
    let Ok(Content::Media(media)) = bare.render(&Variables::default(), &phone(), 1) else { panic!("an image") };
    assert_eq!((media.caption, media.source), (None, MediaSource::Link("https://example.com/a.png".into())));
    let long = variables(&[("name", &"x".repeat(1_024))]);
    let template = self::media(r#"{"type":"video","mediaUrl":"https://example.com/a","caption":"{{name}}."}"#).unwrap();
    assert_eq!(template.render(&long, &phone(), 1), Err(RenderProblem::CaptionTooLong));
}

#[test]
fn media_without_a_file_or_with_what_does_not_belong_is_refused() {
    let table = [
        (r#"{"type":"image"}"#, "either mediaId or mediaUrl"),
        (
            r#"{"type":"image","mediaUrl":"https://a.example","mediaId":"0198c0de-0000-7000-8000-0000000000aa"}"#,
            "either mediaId or mediaUrl",
        ),
        (r#"{"type":"image","mediaUrl":"http://a.example/x"}"#, "https://"),
        (r#"{"type":"image","mediaUrl":"https://a.example/\n"}"#, "https://"),
        (r#"{"type":"image","mediaUrl":"javascript:alert(1)"}"#, "https://"),
        (r#"{"type":"audio","mediaUrl":"https://a.example","caption":"x"}"#, "no caption"),
        (r#"{"type":"image","mediaUrl":"https://a.example","filename":"x"}"#, "Only documents"),
        (r#"{"type":"document","mediaUrl":"https://a.example","filename":"../x"}"#, "no path"),
        (r#"{"type":"video","mediaUrl":"https://a.example","caption":"{{x"}"#, "Caption, position 1"),
        (r#"{"type":"video","mediaUrl":"https://a.example","text":"x"}"#, "unknown field `text`"),
    ];
    for (json, expected) in table {
        let problem = media(json).unwrap_err();
        assert!(problem.contains(expected), "{json}: {problem}");
    }
}
