//! A report for programs.

use super::{Libraries, Report, lossy, rule};
use nopal_elf::read::{ByteOrder, Class, DependencyKind, Dynamic, Hint, Relro, kind, machine};
use nopal_elf::resolve::{Answer, Mismatch, Request, RequestKind, Resolution};
use nopal_format::hash::hex;
use serde_json::{Map, Value, json};

/// All that is known about a file. Bytes that are not UTF-8 become replacement characters.
pub(super) fn render(report: &Report) -> Value {
    let (image, header) = (&report.image, &report.image.header);
    let hardening = image.hardening();
    let list = |names: Vec<&[u8]>| Value::from(names.into_iter().map(lossy).collect::<Vec<_>>());
    let text = |bytes: Option<&[u8]>| bytes.map(lossy).map_or(Value::Null, Value::from);
    let dynamic = image.dynamic.as_ref();
    let (objects, scope, failed) = libraries(&report.libraries);
    json!({
        "file": lossy(&report.path),
        "type": match header.kind {
            kind::RELOCATABLE => "relocatable",
            kind::EXECUTABLE => "executable",
            kind::SHARED => "shared",
            kind::CORE => "core",
            _ => "unknown",
        },
        "isProgram": hardening.is_program,
        "class": match header.class() { Class::Elf32 => 32, Class::Elf64 => 64 },
        "byteOrder": match header.byte_order() { ByteOrder::Little => "little", ByteOrder::Big => "big" },
        "machine": machine::name(header.machine),
        "machineNumber": header.machine,
        "hasSections": image.has_sections(),
        "interpreter": text(image.interpreter.as_deref()),
        "loader": { "path": text(report.loader.path.as_deref()), "isThere": report.loader.is_there },
        "start": report.start.as_ref().map(|start| json!({
            "depth": start.depth,
            "loader": lossy(start.loader.text()),
            "libraries": start.libraries.iter().map(|place| lossy(place.text())).collect::<Vec<_>>(),
        })),
        "soname": text(image.soname()),
        "needed": list(dynamic.map(|dynamic| dynamic.needed().collect()).unwrap_or_default()),
        "rpath": text(dynamic.and_then(|dynamic| dynamic.rpath.as_deref())),
        "runpath": text(dynamic.and_then(|dynamic| dynamic.runpath.as_deref())),
        "runPathEntries": report.run_path.iter().map(|entry| json!({
            "text": lossy(&entry.text), "directory": text(entry.directory.as_deref()), "isThere": entry.is_there,
        })).collect::<Value>(),
        "flags": dynamic.map(|dynamic| dynamic.flags),
        "flags1": dynamic.map(|dynamic| dynamic.flags_1),
        "ignoresDefaultDirectories": dynamic.is_some_and(Dynamic::ignores_default_directories),
        "buildId": image.notes.build_id.as_deref().map(hex),
        "resolutionCache": image.notes.resolution_cache.as_ref().map(|cache| {
            let hints = |hints: &[Hint]| hints.iter().map(|hint| match hint {
                Hint::File(path) => json!({ "file": lossy(path) }),
                Hint::Directory(path) => json!({ "directory": lossy(path) }),
            }).collect::<Value>();
            let entries = cache.entries.iter();
            entries.map(|(soname, list)| (lossy(soname).into_owned(), hints(list))).collect::<Map<_, _>>()
        }),
        "hardening": {
            "relro": match hardening.relro { Relro::None => "none", Relro::Partial => "partial", Relro::Full => "full" },
            "bindsNow": hardening.binds_now,
            "isPositionIndependent": hardening.is_position_independent,
            "hasExecutableStack": hardening.has_executable_stack,
            "relocatesText": hardening.relocates_text,
            "hasStackProtector": report.checks.as_ref().map(|checks| checks.has_stack_protector),
            "fortified": report.checks.as_ref()
                .map(|checks| list(checks.fortified.iter().map(|name| &name[..]).collect())),
        },
        "objects": objects,
        "scope": scope,
        "failedOpens": failed,
    })
}

/// What is loaded, in which order symbols are looked for, and how much is opened in vain.
fn libraries(libraries: &Libraries) -> (Value, Value, Value) {
    let Libraries::Found(resolution) = libraries else { return (Value::Null, Value::Null, Value::Null) };
    let objects = resolution.objects.iter().enumerate().map(|(number, object)| {
        json!({
            "path": lossy(&object.path),
            "loadedBy": object.loader,
            "rule": rule(resolution, number),
            "requests": object.requests.iter().map(|asked| request(resolution, asked)).collect::<Value>(),
        })
    });
    (objects.collect(), resolution.scope.clone().into(), resolution.failed_opens().into())
}

fn request(resolution: &Resolution, request: &Request) -> Value {
    let (answer, refusal) = match &request.answer {
        Answer::Loaded(_) => ("loaded", None),
        Answer::Known(_) => ("known", None),
        Answer::Missing => ("missing", None),
        Answer::Refused { path, reason } => {
            ("refused", Some(json!({ "path": lossy(path), "reason": reason.to_string() })))
        }
    };
    json!({
        "name": lossy(&request.name),
        "kind": match request.kind {
            RequestKind::Preload => "preload",
            RequestKind::Dependency(DependencyKind::Needed) => "needed",
            RequestKind::Dependency(DependencyKind::Auxiliary) => "auxiliary",
            RequestKind::Dependency(DependencyKind::Filter) => "filter",
        },
        "answer": answer,
        "object": request.object(),
        "path": request.object().map(|object| lossy(&resolution.objects[object].path)),
        "refused": refusal,
        "openedInVain": request.attempts.iter().map(|attempt| json!({
            "path": lossy(&attempt.path),
            "found": match attempt.found {
                Mismatch::Nothing => "nothing",
                Mismatch::OtherClass => "otherClass",
                Mismatch::OtherMachine => "otherMachine",
            },
        })).collect::<Value>(),
    })
}
