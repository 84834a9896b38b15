"""`va.run` takes whatever a user holds in the hand; all of this is what somebody outside the
package writes.
"""

import asyncio
import subprocess
import sys
import textwrap
import threading

import gymnasium
import numpy as np
import pytest

import valueagents as va

TAXONOMY = va.load_taxonomy("schwartz20")


class Well(va.ValueEnv):
    """A dry summer; two turns."""

    taxonomy = TAXONOMY
    task = "You live in a village. Decide what you do."
    version = "1"

    def __init__(self, depth=3) -> None:
        super().__init__(max_menu=2)
        self.depth = depth
        self.left = 0

    def start(self, situation):
        self.left = 2
        return self.offer(
            f"The well is {self.depth + int(self.np_random.integers(3))} metres deep."
        )

    def advance(self, option):
        self.left -= 1
        return self.offer("It gets late.") if self.left else va.Turn("Night.", terminated=True)

    def offer(self, text):
        menu = (va.Option("share", "Share the water."), va.Option("keep", "Keep the water."))
        values = ({"BEC": 1.0, "POR": -1.0}, {"POR": 1.0})
        return va.Turn(text, menu, va.Annotation(TAXONOMY.name, values, "tests", "sign"))


class Shares(va.Policy):
    """Always shares."""

    def identity(self):
        return {"policy": "shares/1"}

    async def decide(self, view):
        return va.Choice("share", "argmax")


def share(view):
    return "share"


async def share_later(view):
    await asyncio.sleep(0)
    return view.menu[0] if view.menu[0].id == "share" else view.menu[1]


def chosen(run):
    table = run.decisions(["option_ids", "chosen"]).to_pylist()
    return [row["option_ids"][row["chosen"]] for row in table]


def in_gymnasium():
    if "tests/Well-v0" not in gymnasium.registry:
        gymnasium.register(id="tests/Well-v0", entry_point=Well, order_enforce=False)
    return "tests/Well-v0"


FILE = textwrap.dedent("""
    import valueagents as va

    TAXONOMY = va.load_taxonomy("schwartz20")


    class Bench(va.ValueEnv):
        taxonomy, task, version = TAXONOMY, "Decide.", "1"

        def __init__(self, *, seats: int = 2) -> None:
            super().__init__(max_menu=2)
            self.seats = seats

        def start(self, situation):
            menu = (va.Option("share", "Move up."), va.Option("keep", "Stay."))
            annotation = va.Annotation(TAXONOMY.name, ({"BEC": 1.0}, {"POR": 1.0}), "tests", "sign")
            return va.Turn(f"A bench for {self.seats}.", menu, annotation)

        def advance(self, option):
            return va.Turn("They sit down.", terminated=True)


    def share(view):
        return "share"
    """)


@pytest.mark.parametrize(
    "env",
    [
        pytest.param(lambda: Well, id="class"),
        pytest.param(lambda: Well(depth=5), id="object"),
        pytest.param(lambda: lambda: Well(depth=4), id="callable"),
        pytest.param(in_gymnasium, id="id registered with Gymnasium"),
        pytest.param(lambda: gymnasium.wrappers.TimeLimit(Well(), 50), id="inside a wrapper"),
    ],
)
def test_every_form_of_an_env_is_played(env):
    run = va.run(env(), share, episodes=5, seed=1)
    assert chosen(run) == ["share"] * 10
    assert va.score(run).counts.episodes == 5
    assert not run.failed()


@pytest.mark.parametrize(
    "policy", ["random", "first", Shares, Shares(), share, share_later, lambda view: 0]
)
def test_every_form_of_a_policy_plays(policy):
    run = va.run(Well, policy, episodes=5, seed=1)
    assert run.decisions().num_rows == 10
    assert not run.failed()


def test_classes_and_functions_come_from_a_file(tmp_path):
    file = tmp_path / "bench.py"
    file.write_text(FILE)
    run = va.run(
        f"{file}:Bench", f"{file}:share", tmp_path / "run", episodes=3, env_options={"seats": 4}
    )
    assert chosen(run) == ["share"] * 3
    assert run.episodes()[0].decisions[0].observation == "A bench for 4."
    again = va.run(
        f"{file}:Bench", f"{file}:share", tmp_path / "run", episodes=5, env_options={"seats": 4}
    )
    assert [session.get("owed") for session in again.store.sessions() if "owed" in session] == [
        3,
        2,
    ]


def test_the_command_line_takes_a_file(tmp_path):
    (tmp_path / "bench.py").write_text(FILE)
    words = [
        "run",
        "--env",
        "bench.py:Bench",
        "--policy",
        "bench.py:share",
        "--episodes",
        "4",
        "--out",
        "run",
    ]
    command = [sys.executable, "-m", "valueagents", *words, "--env-option", "seats=3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert chosen(va.Run(tmp_path / "run")) == ["share"] * 4


def test_a_wrapper_is_stepped_through():
    class Counting(gymnasium.Wrapper):
        steps = 0

        def step(self, action):
            type(self).steps += 1
            return super().step(action)

    va.run(Counting(Well()), share, episodes=3, seed=1)
    assert Counting.steps == 6


def test_an_object_plays_one_episode_at_a_time():
    class Alone(Well):
        now, most = 0, 0

        def start(self, situation):
            type(self).now += 1
            type(self).most = max(self.most, self.now)
            return super().start(situation)

        def advance(self, option):
            turn = super().advance(option)
            type(self).now -= turn.terminated
            return turn

    va.run(Alone(), share_later, episodes=6, seed=1)
    assert Alone.most == 1


def test_a_function_that_is_not_asynchronous_runs_on_one_thread_beside_the_loop():
    threads = set()

    def noting(view):
        threads.add(threading.current_thread().name)
        return 0

    va.run(Well, noting, episodes=4, seed=1)
    assert len(threads) == 1
    assert threads != {threading.main_thread().name}


def test_probabilities_are_recorded_and_drawn_from():
    run = va.run(Well, lambda view: np.array([0.25, 0.75]), episodes=200, seed=3)
    probabilities = run.decisions(["probabilities"])["probabilities"].to_pylist()
    assert probabilities == [[0.25, 0.75]] * 400
    share_of_second = run.decisions(["chosen"])["chosen"].to_numpy().mean()
    assert 0.65 < share_of_second < 0.85  # 400 draws at 0.75: four standard errors


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("nothing of the sort", "neither the id nor the text of an option; ids: share, keep"),
        (7, "option 7 of a menu of 2"),
        ([0.5, 0.6], "2 probabilities that add up to 1"),
        ([0.5, float("nan")], "2 probabilities that add up to 1"),
        (3.5, "2 probabilities that add up to 1"),
        ({"share": 1}, "2 probabilities that add up to 1"),
    ],
)
def test_an_answer_that_means_no_option_fails_the_episode_and_says_what_may_be_answered(
    answer, said
):
    run = va.run(Well, lambda view: answer, episodes=2, seed=1)
    assert run.decisions().num_rows == 0
    assert [failure.error for failure in run.failed()] == ["PolicyError"] * 2
    assert said in run.failed()[0].message


def test_no_answer_is_recorded_as_refused():
    run = va.run(Well, lambda view: None, episodes=1, seed=1)
    assert set(run.decisions(["reading"])["reading"].to_pylist()) == {"refused"}


def test_without_a_folder_the_run_lives_as_long_as_the_object_and_save_keeps_it(tmp_path):
    run = va.run(Well, "random", episodes=3, seed=1)
    place = run.path
    kept = run.save(tmp_path / "kept")
    del run
    assert not place.exists()
    assert kept.decisions().num_rows == 6
    with pytest.raises(va.ConfigError, match="exists; give a path where nothing is"):
        kept.save(tmp_path / "kept")


def test_another_source_argument_or_closure_is_another_identity(tmp_path):
    def well_of(depth):
        return lambda: Well(depth=depth)

    def leaning(to):
        return lambda view: to

    first = va.run(well_of(3), leaning("share"), episodes=1)
    for env, policy in (
        (well_of(4), leaning("share")),
        (well_of(3), leaning("keep")),
        (Well, leaning("share")),
    ):
        other = va.run(env, policy, episodes=1)
        mine, theirs = first.header, other.header
        assert (mine.env_identity, mine.policy_identity) != (
            theirs.env_identity,
            theirs.policy_identity,
        )
    same = va.run(well_of(3), leaning("share"), episodes=1)
    assert same.header.env_identity == first.header.env_identity
    assert same.header.policy_identity == first.header.policy_identity
    assert same.header.unrepeatable is None


def test_what_can_be_hashed_is_continued_and_another_policy_is_refused_there(tmp_path):
    va.run(Well, share, tmp_path / "run", episodes=2)
    again = va.run(Well, share, tmp_path / "run", episodes=5)
    assert len(again.episodes()) == 5
    with pytest.raises(va.ConfigError, match="holds another run"):
        va.run(Well, share_later, tmp_path / "run", episodes=5)


def test_what_cannot_be_hashed_is_marked_and_a_second_run_gets_its_own_folder(tmp_path):
    lock = threading.Lock()

    def guarded(view):
        with lock:
            return "share"

    first = va.run(Well, guarded, tmp_path / "run", episodes=2)
    second = va.run(Well, guarded, tmp_path / "run", episodes=2)
    assert "lock" in first.header.unrepeatable
    assert (first.path.name, second.path.name) == ("run", "run-2")
    assert len(first.episodes()) == len(second.episodes()) == 2


@pytest.mark.parametrize(
    ("env", "policy", "said"),
    [
        (3, "random", "an env is an id, a class, a callable or a ValueEnv, not a int"),
        (dict, "random", "class dict is not a ValueEnv"),
        (va.ValueEnv, "random", "lacks advance, start"),
        (lambda: 3, "random", "is a int, not a ValueEnv"),
        (lambda depth: Well(depth), "random", "without arguments"),
        ("CartPole-v1", "random", "not a ValueEnv"),
        ("nowhere.py:Well", "random", "there is no file 'nowhere.py'"),
        ("valueagents/Dilema-v0", "random", "Did you mean 'valueagents/Dilemma-v0'"),
        (Well, 3, "a policy is a spec, a Policy, its class or a function of a view, not a int"),
        (Well, dict, "class dict is not a Policy"),
        (Well, "randm", "Did you mean 'random'"),
    ],
)
def test_what_is_neither_env_nor_policy_is_said_at_once(env, policy, said):
    with pytest.raises(va.ConfigError, match=said):
        va.run(env, policy, episodes=1)


def test_options_go_to_what_is_still_to_be_made():
    assert va.run(Well, share, episodes=1, env_options={"depth": 9}).header.env_options == {
        "depth": 9
    }
    with pytest.raises(va.ConfigError, match="this env is made already"):
        va.run(Well(), share, episodes=1, env_options={"depth": 9})
    with pytest.raises(va.ConfigError, match="cannot be made with dpth"):
        va.run(Well, share, episodes=1, env_options={"dpth": 9})


def test_a_report_of_held_objects_names_them(tmp_path):
    page = va.write_report([va.run(Well, share, episodes=3)], tmp_path / "page.html").read_text()
    assert "python:Well" in page


def test_gymnasium_and_dir_know_the_package_after_import():
    code = "import valueagents as va, sys; assert 'gymnasium' not in sys.modules; print(dir(va)); "
    code += (
        "import gymnasium;"
        " print(gymnasium.make('valueagents/Dilemma-v0').reset(seed=1)[1]['invalid'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, invalid = done.stdout.splitlines()
    assert names == str(va.__all__)
    assert invalid == "None"
