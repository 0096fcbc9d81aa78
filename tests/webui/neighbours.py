"""Stand-ins for other extensions that keep what they find on the host during a run, and put it back later."""

import ast
import importlib
import inspect
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import motion_module
from motion_module import patching

PACKAGE = Path(motion_module.__file__).parent
CHANGES = tuple(  # every context manager of `patching`
    name
    for name, made in vars(patching).items()
    if inspect.isgeneratorfunction(inspect.unwrap(made)) and made.__module__ == patching.__name__
)


def borrowers():
    """Every module of ours that imports `patching`, and so changes somebody else's objects."""
    for path in sorted([*PACKAGE.glob("core/**/*.py"), *PACKAGE.glob("webui/**/*.py")]):
        if _imports_patching(path) and not path.name.startswith("forge"):  # another host's, which is not here
            yield importlib.import_module(".".join(["motion_module", *path.relative_to(PACKAGE).with_suffix("").parts]))


@cache  # a test that fails at each change in turn asks a thousand times
def _imports_patching(path):
    imports = (node for node in ast.walk(ast.parse(path.read_text("utf8"))) if isinstance(node, ast.ImportFrom))
    return any(node.module == "motion_module.patching" for node in imports)


def on_every_change(monkeypatch, hook, of=""):
    """Call `hook()` before each change that the extension makes to the host.

    Args:
        of: makes only those of the module whose name ends so.
    """
    asked = [module for module in borrowers() if module.__name__.endswith(of)]
    for module in asked:
        for name in CHANGES:
            change = getattr(module, name, None)
            if change is not None:
                monkeypatch.setattr(module, name, _hooked(change, hook))
    if any(hasattr(module, "replaced_all") for module in asked):  # each of several attributes is a change
        monkeypatch.setattr(patching, "replaced", _hooked(patching.replaced, hook))


def _hooked(change, hook):
    def hooked(*args):
        hook()
        return change(*args)

    return hooked


class Keeper:
    """Keeps what stands in every place that a run changes, while the change lasts, and puts it back when told to.

    Args:
        only: (module, change, name) of the one change to keep; None for all.
    """

    def __init__(self, only=None):
        self.only = only
        self.seen = {}  # (module, change, name) -> values that were put in
        self.kept = []

    def watch(self, monkeypatch):
        for module in borrowers():
            for name in CHANGES:
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, self._watched(module, getattr(patching, name)))
        return self

    def put_back(self):
        for back in self.kept:
            back()
        self.kept.clear()

    def _watched(self, module, change):
        @contextmanager
        def watched(owner, name=None, *rest):
            with change(*((owner,) if name is None else (owner, name, *rest))) as result:
                key = (module.__name__.removeprefix("motion_module."), change.__name__, label(change, name))
                self.seen.setdefault(key, []).append(rest[0] if change is patching.replaced else None)
                keeps = self.only in (None, key)
                if keeps and change is patching.changing:
                    result = self._keeping(result)
                elif keeps:
                    self._keep(change, owner, name, rest, result)
                yield result

        return watched

    def _keeping(self, put):
        """Puts values in, and keeps the last one of them."""
        last = []
        self.kept.append(lambda: [put(value) for value in last])

        def putting(value):
            put(value)
            last[:] = [value]

        return putting

    def _keep(self, change, owner, name, rest, result):
        if change is patching.preserved:
            return  # the host puts in what is there
        if change is patching.inserted:
            self.kept.append(lambda: owner.insert(name, rest[0]))
        elif change is patching.replaced_all:
            values = {each: getattr(owner, each) for each in name}
            self.kept.append(lambda: [setattr(owner, *each) for each in values.items()])
        elif change in (patching.replaced_item, patching.replaced_option):
            value = owner[name]
            self.kept.append(lambda: owner.__setitem__(name, value))
        else:
            value = getattr(owner, name)
            self.kept.append(lambda: setattr(owner, name, value))


def label(change, name):
    """A name for a change, the same for all layers of a block of the UNet."""
    return "" if change is patching.inserted or name is None else str(name).partition("_motion_modules")[0][:30]


@contextmanager
def extension(tab, script):
    """A script of another extension, always on, whose hooks come after ours (as of its folder's name)."""
    from runs import runner_of

    from modules import scripts

    runner = runner_of(tab)
    script.__class__ = type(type(script).__name__, (type(script), scripts.Script), {"title": lambda self: "neighbour"})
    script.filename, script.args_from, script.args_to, script.alwayson = "/ext/zz-neighbour/scripts/n.py", 0, 0, True
    runner.scripts.append(script)
    runner.alwayson_scripts.append(script)
    runner.callback_map.clear()
    try:
        yield script
    finally:
        runner.scripts.remove(script)
        runner.alwayson_scripts.remove(script)
        runner.callback_map.clear()
