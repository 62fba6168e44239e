"""Modules: resources in a directory of their own, expanded once for each use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trueup.errors import ManifestError, SourceError
from trueup.graph.build import build_graph
from trueup.manifests.load import load_stack
from trueup.model.address import Address
from trueup.model.values import UNKNOWN, Sensitive, map_leaves, reveal
from trueup.sources.open import open_tree

STACK = (Path(__file__).parent / "bad/stack.yaml").read_text()
SSH = "apiVersion: ssh.trueup.dev/v1\n"
SITE = {
    "../modules/site/module.yaml": """\
apiVersion: trueup.dev/v1
kind: Module
metadata: {name: site}
spec:
  inputs:
    name: {type: string}
    text: {default: welcome}
    mode: {type: string, default: "0644"}
  outputs:
    path: ${{ ref("File/conf").spec.path }}
    title: Site ${{ vars.name }}
""",
    "../modules/site/conf.yaml": SSH
    + """\
kind: File
metadata: {name: conf}
spec: {path: "/srv/${{ vars.name }}/conf", content: "${{ vars.text }}", mode: "${{ vars.mode }}"}
""",
    "../modules/site/sub/package.yaml": SSH
    + """\
kind: Package
metadata: {name: "nginx-${{ vars.name }}"}
dependsOn: [File/conf]
""",
}


def call(name: str, inputs: str, more: str = "", source: str = "../modules/site") -> str:
    return (
        f"apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {{name: {name}}}\n{more}"
        f"spec: {{source: {source}, inputs: {inputs}}}\n"
    )


def file(name: str, more: str) -> str:
    return f"{SSH}kind: File\nmetadata: {{name: {name}}}\ntargets: {{names: [web-1]}}\n{more}"


ON_WEB_1 = "targets: {names: [web-1]}\n"


def texts(nodes) -> list[str]:
    return [node.address.text for node in nodes]


class Known:
    """A look-up of documents by the reference of their address."""

    def __init__(self, documents=None, secrets=None, outputs=None):
        self._documents, self._secrets, self._outputs = documents or {}, secrets or {}, outputs or {}

    def node(self, address: Address):
        return self._documents.get(address.reference, UNKNOWN)

    def secret(self, text: str):
        return Sensitive(self._secrets[text])

    def outputs(self, stack: str):
        return self._outputs.get(stack, UNKNOWN)


def evaluate(value, **known):
    lookup = Known(**known)
    return map_leaves(value, lambda leaf: leaf.evaluate(lookup) if hasattr(leaf, "evaluate") else leaf)


def test_each_use_of_a_module_makes_nodes_of_its_own(load):
    stack = load(
        {
            **SITE,
            "site.yaml": call("blog", "{name: blog}", ON_WEB_1)
            + "---\n"
            + call("docs", "{name: docs, text: hello}", "targets: {matchLabels: {role: web}}\n"),
        }
    )
    assert texts(stack.nodes) == [
        "shop/File/blog/conf@web-1",
        "shop/Package/blog/nginx-blog@web-1",
        "shop/File/docs/conf@web-1",
        "shop/File/docs/conf@web-2",
        "shop/Package/docs/nginx-docs@web-1",
        "shop/Package/docs/nginx-docs@web-2",
    ]
    blog, _, docs, *_ = stack.nodes
    assert blog.spec == {"path": "/srv/blog/conf", "content": "welcome", "mode": "0644"}
    assert docs.spec["content"] == "hello"
    assert (blog.name, blog.namespace) == ("conf", "")
    assert str(blog.place) == "../modules/site/conf.yaml:1:1"
    assert [list(map(str, node.depends_on)) for node in stack.nodes[4:]] == [
        ["shop/File/docs/conf@web-1"],
        ["shop/File/docs/conf@web-2"],
    ]


def test_a_call_may_have_items_and_a_condition(load):
    more = ON_WEB_1 + "forEach: ${{ vars.sites }}\nwhen: ${{ each.key != 'docs' }}\n"
    stack = load({**SITE, "site.yaml": call("site", "{name: '${{ each.key }}'}", more)})
    assert texts(stack.nodes) == ["shop/File/site-blog/conf@web-1", "shop/Package/site-blog/nginx-blog@web-1"]
    own = call('"${{ each.key }}-site"', "{name: '${{ each.key }}'}", ON_WEB_1 + "forEach: [a]\n")
    assert texts(load({**SITE, "site.yaml": own}).nodes)[0] == "shop/File/a-site/conf@web-1"


def test_own_keys_of_a_call_may_be_annotations(load):
    text = (
        "apiVersion: trueup.dev/v1\nkind: Module\nmetadata:\n  name: a\n"
        "  annotations: {trueup.dev/targets: 'names: [web-2]', note: mine}\n"
        "spec: {source: ../modules/site, inputs: {name: a}}\n"
    )
    assert texts(load({**SITE, "site.yaml": text}).nodes)[0] == "shop/File/a/conf@web-2"


def test_the_targets_of_a_call_are_for_resources_without_their_own(load):
    module = {
        "../m/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\n",
        "../m/a.yaml": SSH + "kind: Package\nmetadata: {name: a}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n---\n"
        + SSH
        + "kind: Package\nmetadata: {name: c}\ntargets: {names: [web-2]}\n",
    }
    both = load({**module, "x.yaml": call("x", "{}", "targets: {names: [web-1, prod]}\n", "../m")})
    one = load({**module, "x.yaml": call("x", "{}", ON_WEB_1, "../m")})
    assert texts(both.nodes) == texts(one.nodes)
    assert texts(one.nodes) == ["shop/Package/x/a@web-1", "shop/ConfigMap/x/b@prod", "shop/Package/x/c@web-2"]


def test_outputs_are_read_by_reference_and_members_too(load):
    stack = load(
        {
            **SITE,
            "site.yaml": call("blog", "{name: blog}", ON_WEB_1)
            + "---\n"
            + file("a", "spec: {path: /a, content: \"${{ ref('Module/blog').outputs.path }}\"}\n")
            + "---\n"
            + file("b", "spec: {path: /b, content: \"${{ ref('Module/blog').outputs.title }}!\"}\n")
            + "---\n"
            + file("c", "spec: {path: /c, content: \"${{ ref('File/blog/conf').spec.mode }}\"}\n"),
        }
    )
    a, b, c = (node.spec["content"] for node in stack.nodes[2:])
    assert [str(reference.address) for reference in a.references] == ["shop/File/blog/conf@web-1"]
    assert b.references == ()
    documents = {"File/blog/conf": {"spec": {"path": "/srv/blog/conf", "mode": "0644"}}}
    assert evaluate([a, b, c], documents=documents) == ["/srv/blog/conf", "Site blog!", "0644"]
    assert evaluate(a) is UNKNOWN


def test_inputs_may_hold_what_is_known_later(load):
    text = (
        file("key", "spec: {path: /key}\n")
        + "---\n"
        + call(
            "blog",
            "{name: blog, text: \"${{ ref('File/key').spec.path }} ${{ secret('env:PASSWORD') }}\"}",
            ON_WEB_1,
        )
    )
    stack = load({**SITE, "site.yaml": text})
    content = stack.nodes[1].spec["content"]
    assert [str(reference.address) for reference in content.references] == ["shop/File/key@web-1"]
    assert [secret.text for secret in content.secrets] == ["env:PASSWORD"]
    value = evaluate(
        content, documents={"File/key": {"spec": {"path": "/key"}}}, secrets={"env:PASSWORD": "x"}
    )
    assert reveal(value) == "/key x"


def test_modules_in_modules_pass_inputs_and_outputs_through(load):
    outer = {
        "../modules/pair/module.yaml": """\
apiVersion: trueup.dev/v1
kind: Module
metadata: {name: pair}
spec:
  inputs: {names: {type: list(string)}}
  outputs: {first: "${{ ref('Module/left').outputs.path }}"}
""",
        "../modules/pair/uses.yaml": call("left", "{name: '${{ vars.names[0] }}'}", source="../site")
        + "---\n"
        + call("right", "{name: '${{ vars.names[1] }}'}", "dependsOn: [Module/left]\n", source="../site"),
    }
    text = call("p", "{names: [l, r]}", ON_WEB_1, "../modules/pair") + "---\n"
    text += file("a", "spec: {path: /a, content: \"${{ ref('Module/p').outputs.first }}\"}\n")
    text += "dependsOn: [Module/p/right]\n"
    stack = load({**SITE, **outer, "site.yaml": text})
    assert texts(stack.nodes) == [
        "shop/File/p/left/conf@web-1",
        "shop/Package/p/left/nginx-l@web-1",
        "shop/File/p/right/conf@web-1",
        "shop/Package/p/right/nginx-r@web-1",
        "shop/File/a@web-1",
    ]
    assert list(map(str, stack.nodes[2].depends_on)) == texts(stack.nodes[:2])
    assert list(map(str, stack.nodes[4].depends_on)) == texts(stack.nodes[2:4])
    documents = {"File/p/left/conf": {"spec": {"path": "/srv/l/conf"}}}
    assert evaluate(stack.nodes[4].spec["content"], documents=documents) == "/srv/l/conf"


def test_dependencies_on_and_of_a_module_are_those_of_all_its_nodes(load):
    text = (
        file("first", "spec: {path: /first}\n")
        + "---\n"
        + call("m", "{name: '${{ each.key }}'}", ON_WEB_1 + "forEach: [a, b]\ndependsOn: [File/first]\n")
        + "---\n"
        + file("last", "dependsOn: [Module/m, Module/m-a]\nspec: {path: /last}\n")
    )
    stack = load({**SITE, "site.yaml": text})
    first, *members, last = stack.nodes
    assert all(first.address in member.depends_on for member in members)
    assert list(last.depends_on) == [member.address for member in members]


def test_a_module_in_the_directory_of_the_stack_is_no_part_of_the_stack_by_itself(load):
    inside = {path.removeprefix("../"): text for path, text in SITE.items()}
    stack = load({**inside, "site.yaml": call("blog", "{name: blog}", ON_WEB_1, "modules/site")})
    assert texts(stack.nodes) == ["shop/File/blog/conf@web-1", "shop/Package/blog/nginx-blog@web-1"]


def test_files_of_a_module_are_found_beside_it(load):
    module = {
        "../m/module.toml": 'apiVersion = "trueup.dev/v1"\nkind = "Module"\nmetadata.name = "m"\n',
        "../m/a.yaml": SSH
        + "kind: File\nmetadata: {name: a}\nspec: {path: /a, content: \"${{ file('site.conf') }}\"}\n",
        "../m/site.conf": "listen 80",
        "../m/deep/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: unused}\n",
        "../m/deep/b.yaml": "left: out",
        "../m/stack/stack.yaml": "kind: Stack\n",
        "../m/.hidden/c.yaml": "left: out",
    }
    stack = load({**module, "x.yaml": call("x", "{}", ON_WEB_1, "../m")})
    assert [node.spec["content"] for node in stack.nodes] == ["listen 80"]


def test_a_default_is_taken_as_it_is_and_an_input_may_be_of_any_depth(load):
    module = {
        "../m/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec:\n"
        "  inputs:\n    site: {type: map, default: {port: 80, host: a}}\n",
        "../m/a.yaml": SSH
        + "kind: File\nmetadata: {name: a}\n"
        + 'spec: {path: /a, content: "${{ vars.site.host }}:${{ vars.site.port }} ${{ git.commit }}"}\n',
    }
    stack = load({**module, "x.yaml": call("x", "{site: {host: b}}", ON_WEB_1, "../m")})
    assert stack.nodes[0].spec["content"] == "b:80 c0ffee"


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("https://git.example.com/m.git//site?ref=v1", ("https://git.example.com/m.git", "v1", "site")),
        ("https://u:pw@git.example.com/m.git?ref=v1", ("https://u:pw@git.example.com/m.git", "v1", "")),
        ("git@git.example.com:m.git//a/b?ref=v1", ("git@git.example.com:m.git", "v1", "a/b")),
        ("ssh://git@host:22/m.git//site/?ref=v1", ("ssh://git@host:22/m.git", "v1", "site")),
    ],
)
def test_a_pinned_module_is_asked_for_once_and_named_by_its_repository(catalog, memory_tree, source, asked):
    requests = []
    trees = []

    def open_pinned(location, ref, path):
        requests.append((location, ref, path))
        trees.append(
            memory_tree({name.removeprefix("../modules/site/"): text for name, text in SITE.items()})
        )
        return trees[-1]

    text = call("a", "{name: a}", ON_WEB_1, source) + "---\n" + call("b", "{name: b}", ON_WEB_1, source)
    tree = memory_tree({"stack.yaml": STACK, "site.yaml": text})
    stack = load_stack(tree, catalog, open_pinned=open_pinned)
    assert requests == [asked]
    assert len(stack.nodes) == 4
    path = f"{asked[2]}/" if asked[2] else ""
    assert str(stack.nodes[0].place) == f"memory@v1/{path}conf.yaml:1:1"
    assert trees[0].source_paths() == []  # closed


def test_a_module_from_elsewhere_names_no_repository_of_this_machine(catalog, memory_tree):
    asked = []

    def open_pinned(location, ref, path):
        asked.append(location)
        return memory_tree(
            {
                "module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec: {}\n",
                "inner.yaml": call("inner", "{}", source="FILE:///srv/private.git?ref=v1"),
            }
        )

    text = call("a", "{}", ON_WEB_1, "https://host/m.git?ref=v1")
    with pytest.raises(ManifestError, match="names a repository of this machine in a module"):
        load_stack(memory_tree({"stack.yaml": STACK, "site.yaml": text}), catalog, open_pinned=open_pinned)
    assert asked == ["https://host/m.git"]


def test_a_repository_that_cannot_be_read_is_no_fault_of_the_files(catalog, memory_tree):
    def open_pinned(location, ref, path):
        raise SourceError("the source cannot be read", hint="look at the network")

    text = call("a", "{name: a}", ON_WEB_1, "https://host/m.git?ref=v1")
    with pytest.raises(SourceError) as caught:
        load_stack(memory_tree({"stack.yaml": STACK, "site.yaml": text}), catalog, open_pinned=open_pinned)
    assert caught.value.message == "site.yaml:5:16: module a: the source cannot be read"
    assert caught.value.hint == "look at the network"


def test_a_problem_in_a_module_is_told_once_with_the_first_call_that_meets_it(load):
    module = {
        "../m/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\n"
        "spec: {inputs: {mode: {}}}\n",
        "../m/a.yaml": SSH + "kind: File\nmetadata: {name: a}\nspec: {path: /a, mode: '${{ vars.mode }}'}\n",
    }
    uses = "---\n".join(call(name, "{mode: wrong}", ON_WEB_1, "../m") for name in ("x", "y", "z"))
    with pytest.raises(ManifestError) as caught:
        load({**module, "x.yaml": uses})
    wrong = [problem for problem in caught.value.problems if "mode" in problem.message]
    assert [str(problem.place) for problem in wrong] == ["../m/a.yaml:4:24"]
    assert wrong[0].message.startswith("in module x (x.yaml:1:1): ")


def test_outputs_that_need_each_other_are_a_circle(load, catalog):
    text = call("a", "{name: a, text: \"${{ ref('Module/b').outputs.text }}\"}", ON_WEB_1, "../m") + "---\n"
    text += call("b", "{name: b, text: \"${{ ref('Module/a').outputs.text }}\"}", ON_WEB_1, "../m")
    module = {
        "../m/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec:\n"
        "  inputs: {name: {}, text: {}}\n  outputs: {text: '${{ vars.text }}'}\n",
        "../m/a.yaml": SSH
        + "kind: File\nmetadata: {name: a}\n"
        + "spec: {path: '/${{ vars.name }}', content: '${{ vars.text }}'}\n",
    }
    stack = load({**module, "x.yaml": text})
    with pytest.raises(ManifestError, match="needs itself"):
        build_graph(stack.nodes, catalog)


def test_modules_are_nested_to_a_depth_and_used_so_many_times_and_no_more(load, monkeypatch):
    files = {}
    for depth in range(12):
        files[f"../m{depth}/module.yaml"] = (
            f"apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {{name: m{depth}}}\n"
        )
        files[f"../m{depth}/next.yaml"] = call("n", "{}", source=f"../m{depth + 1}")
    files["../m12/module.yaml"] = files["../m0/module.yaml"]
    files["../m12/a.yaml"] = SSH + "kind: Package\nmetadata: {name: a}\n"
    assert len(load({**files, "x.yaml": call("x", "{}", ON_WEB_1, "../m3")}).nodes) == 1
    with pytest.raises(ManifestError) as caught:
        load({**files, "x.yaml": call("x", "{}", ON_WEB_1, "../m2")})
    (problem,) = caught.value.problems
    assert str(problem.place) == "../m11/next.yaml:4:16"
    assert problem.message.startswith("in module x/n/n/n/n/n/n/n/n/n (../m10/next.yaml:1:1, from ../m9/")
    assert problem.message.endswith("modules are nested more than 10 deep")
    monkeypatch.setattr("trueup.manifests.modules.MAX_USES", 3)
    with pytest.raises(ManifestError, match="modules are used more than 3 times"):
        load({**SITE, "x.yaml": call("x", "{name: '${{ each.key }}'}", ON_WEB_1 + "forEach: [a, b, c, d]\n")})


def test_an_output_means_what_is_on_the_target_of_its_reader(load):
    reader = file("a", "spec: {path: /a, content: \"${{ ref('Module/m').outputs.path }}\"}\n")
    stack = load(
        {
            **SITE,
            "x.yaml": call("m", "{name: m}", "targets: {matchLabels: {role: web}}\n")
            + "---\n"
            + reader.replace("names: [web-1]", "matchLabels: {role: web}"),
        }
    )
    contents = [node.spec["content"] for node in stack.nodes[4:]]
    assert [str(content.references[0].address) for content in contents] == [
        "shop/File/m/conf@web-1",
        "shop/File/m/conf@web-2",
    ]
    on_another = (
        "apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: {x: \"${{ ref('Module/m').outputs.path }}\"}\n"
    )
    with pytest.raises(ManifestError, match="File/conf means 2 resources: File/conf@web-1, File/conf@web-2"):
        load(
            {
                **SITE,
                "x.yaml": call("m", "{name: m}", "targets: {matchLabels: {role: web}}\n")
                + "---\n"
                + on_another,
            }
        )


def test_a_helm_template_of_that_name_makes_no_module(load):
    module = "chart/templates/module.yaml"
    with pytest.raises(ManifestError) as caught:
        load(
            {
                **SITE,
                "site.yaml": call("a", "{name: a}", ON_WEB_1),
                "chart/Chart.yaml": "x: 1",
                module: "{{ x }}",
            }
        )
    assert module not in {problem.place.file for problem in caught.value.problems}


def test_the_directory_of_a_module_is_checked_where_nothing_uses_it(load):
    with pytest.raises(ManifestError, match=r"(?s)m/module\.yaml:1:1: .*needs kind: Module"):
        load({"x.yaml": file("a", "spec: {path: /a}\n"), "m/module.yaml": "spec: {}"})


def test_the_examples_of_the_page_about_modules_load(load):
    page = (Path(__file__).parents[3] / "docs/modules.md").read_text()
    texts_of_page = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    files = {
        name.removeprefix("stack/") if name.startswith("stack/") else f"../{name}": text
        for name, text in texts_of_page
    }
    stack = load({**files, "stack.yaml": STACK})
    assert sorted(texts(stack.nodes)) == [
        "shop/ConfigMap/sites@prod",
        "shop/File/blog/conf@web-1",
        "shop/File/blog/conf@web-2",
        "shop/File/site-docs/conf@web-1",
        "shop/File/site-shop/conf@web-1",
    ]
    sites = next(node for node in stack.nodes if node.kind == "ConfigMap")
    assert evaluate(sites.body["data"]) == {"docs": "http://localhost:8080/docs/"}


def test_a_use_that_is_renamed_says_where_its_nodes_were(load):
    outer = {
        "../o/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: o}\n",
        "../o/a.yaml": call("new", "{name: n}", "lifecycle: {movedFrom: [Module/old]}\n", "../modules/site")
        + "---\napiVersion: v1\nkind: A\nmetadata: {name: a, namespace: ns}\n"
        "lifecycle: {movedFrom: [A/ns/b]}\n",
    }
    more = "lifecycle: {movedFrom: [Module/y, net/Module/z]}\ntargets: {names: [web-1, prod]}\n"
    stack = load({**SITE, **outer, "x.yaml": call("x", "{}", more, "../o")})
    conf, _package, a = stack.nodes
    assert [address.text for address in conf.former_addresses] == [
        "shop/File/x/old/conf@web-1",
        "shop/File/y/new/conf@web-1",
        "net/File/z/new/conf@web-1",
        "shop/File/y/old/conf@web-1",
        "net/File/z/old/conf@web-1",
    ]
    assert [address.text for address in a.former_addresses] == [
        "shop/A/ns/x/b@prod",
        "shop/A/ns/y/a@prod",
        "net/A/ns/z/a@prod",
        "shop/A/ns/y/b@prod",
        "net/A/ns/z/b@prod",
    ]


def test_a_reference_in_an_input_means_what_is_on_the_target_of_each_resource(load):
    everywhere = "targets: {matchLabels: {role: web}}\n"
    key = file("key", "spec: {path: /key}\n").replace(ON_WEB_1, everywhere)
    text = "{name: m, text: \"${{ ref('File/key').spec.path }}\"}"
    pair = {
        "../modules/pair/module.yaml": "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: pair}\n"
        "spec: {inputs: {text: {}}, outputs: {text: '${{ vars.text }}'}}\n",
        "../modules/pair/site.yaml": call("s", "{name: m, text: '${{ vars.text }}'}", source="../site"),
    }
    for files in (
        {"x.yaml": key + "---\n" + call("m", text, everywhere)},
        {
            **pair,
            "x.yaml": key + "---\n" + call("p", text.replace("name: m, ", ""), everywhere, "../modules/pair"),
        },
    ):
        reader = file("r", "spec: {path: /r, content: \"${{ ref('Module/p').outputs.text }}\"}\n")
        more = (
            {"r.yaml": reader.replace(ON_WEB_1, "targets: {names: [web-2]}\n")}
            if pair.keys() <= files.keys()
            else {}
        )
        stack = load({**SITE, **files, **more})
        found = {
            node.address.target: str(node.spec["content"].references[0].address)
            for node in stack.nodes
            if node.name in ("conf", "r")
        }
        assert found == {"web-1": "shop/File/key@web-1", "web-2": "shop/File/key@web-2"}
    on_prod = call("m", text, "targets: {names: [web-1]}\n").replace("File/key'", "File/key@web-2'")
    stack = load({**SITE, "x.yaml": key + "---\n" + on_prod})
    assert str(stack.nodes[2].spec["content"].references[0].address) == "shop/File/key@web-2"


def test_links_and_paths_out_of_the_source_are_refused_at_the_call(catalog, tmp_path):
    (tmp_path / "secret.yaml").write_text("canary: hush\n")
    for path, text in {**SITE, "stack.yaml": STACK}.items():
        place = tmp_path / "source/stack" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    source = tmp_path / "source"
    (source / "modules/bad").mkdir()
    (source / "modules/bad/module.yaml").symlink_to("../../../secret.yaml")
    (source / "modules/way").symlink_to("site")
    calls = [
        ("../modules/bad", r"modules/bad/module\.yaml leaves the source"),
        ("../modules/way", r"there is no directory \.\./modules/way"),
        ("../../outside", r"leads out of the source"),
        ("../modules/nothing", r"there is no directory"),
        ("../modules/site/../site", ""),
    ]
    for text, message in calls:
        (source / "stack/site.yaml").write_text(call("a", "{name: a}", ON_WEB_1, text))
        tree = open_tree(str(source), path="stack")
        if not message:
            assert len(load_stack(tree, catalog).nodes) == 2
            continue
        with pytest.raises(ManifestError, match=rf"^site\.yaml:5:16: .*{message}") as caught:
            load_stack(tree, catalog)
        assert "hush" not in str(caught.value)
