#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: walk.py NUMBER

Prints a policy: types, sets, keys, shards and forwarding rules as they may stand beside each other. The same number, the same policy.
"""

import random
import sys

pick = random.Random(int(sys.argv[1]))


def chance(percent):
    return pick.randrange(100) < percent


def rate():
    return f"{pick.randrange(1, 20)}mbit"


def elements():
    for i in range(pick.choice([1, 3, 40, 200])):
        yield f"{{address: 10.{pick.randrange(3)}.0.{i}, up: {rate()}}}" if chance(50) else f"10.{pick.randrange(3, 6)}.{i}.0/24"


def sets():
    chosen = [s for s in ("subscribers", "gold", "learned") if chance(70)]
    if chosen:
        print("sets:")
    for s in chosen:
        if s == "learned":
            print(f"  learned: {{learn: {{on: ['wan*', lan0], max: {pick.choice([16, 1024, 5000])},"
                  f" when-full: {pick.choice(['refuse', 'evict-oldest'])}}}}}")
        else:
            print(f"  {s}: {{elements: [{', '.join(elements())}]}}")
    return chosen


def match(known):
    where = f"{pick.choice(['src', 'dst'])}: '@{pick.choice(known)}'" if known and chance(50) else \
        f"dst: 10.{pick.randrange(8)}.{pick.randrange(99)}.0/24"
    return f"match: [{{{where}{', dport: %d' % pick.randrange(1, 999) if chance(30) else ''}}}]"


def htb_class(name, known):
    own = pick.randrange(1, 20)
    if chance(70):
        return f"rate: {own}mbit, ceil: {own + pick.randrange(50)}mbit, prio: {pick.randrange(4)}, {match(known)}"
    return f"rate: {own}mbit, {match(known)}, classes: [{{name: {name}1, rate: {pick.randrange(100, 900)}kbit, {match(known)}}}," \
        f" {{name: {name}2, rate: 100kbit, match: [{{all: true}}]}}]"


def key_class(known):
    if chance(60):
        return f"rate: {rate()}, {match(known)}"
    of = f", set: {pick.choice(known)}" if known and chance(50) else ""
    own = pick.choice(["1mbit", "{up: 1mbit}", "{down: 1mbit}"])
    return f"rate: {rate()}, {match(known)}, per: {{key: {pick.choice(['src', 'dst'])}{of}, rate: {own}, max: {pick.choice([10, 1000])}}}"


def policy(name, known):
    kind = pick.choice(["police", "police", "htb", "htb", "edt"])
    print(f"  {name}:\n    type: {kind}\n    default: rest")
    if kind == "htb":
        print(f"    rate: {pick.randrange(200, 900)}mbit")
        if chance(50):
            print("    shards: auto")
    else:
        print(f"    engine: {'auto' if kind == 'edt' else 'bpf'}")
    print("    classes:")
    for c in pick.sample("abcdefghijkl", pick.randrange(8)):
        print(f"      - {{name: {c}, {htb_class(c, known) if kind == 'htb' else key_class(known)}}}")
    print(f"      - {{name: rest, rate: {rate()}}}")
    return name, kind


def interfaces(policies):
    through_ifb = []
    print("interfaces:")
    for i in ("wan0", "lan0", "big0", "ppp*"):
        hooks = []
        (down, down_kind), (up, _) = pick.choice(policies), pick.choice(policies)
        if chance(80) and down_kind != "edt":
            hooks.append(f"ingress: {{policy: {down}{', via: ifb' if down_kind == 'htb' else ''}}}")
            if down_kind == "htb":
                through_ifb.append(i)
        if chance(80) or not hooks:
            hooks.append(f"egress: {{policy: {up}}}")
        if chance(75) or i == "wan0":
            print(f"  '{i}': {{side: {pick.choice(['wan', 'lan'])}, {', '.join(hooks)}}}")
    return through_ifb


def forward(through_ifb):
    on = [i for i in ("wan0", "big0") if i not in through_ifb]
    chosen = [n for n in ("f1", "f2", "f3", "f4") if on and chance(40)]
    if chosen:
        print("forward:")
    for n in chosen:
        print(f"  - {{name: {n}, on: {pick.choice(on)}, match: [{{dst: 10.9.0.{pick.randrange(99)}}}], redirect:"
              f" {{mode: {pick.choice(['egress', 'neigh', 'clone', 'peer', 'ingress'])},"
              f" dev: {pick.choice(['lan0', 'v0', 'nobody0'])}}}, on-miss: {pick.choice(['pass', 'drop'])}}}")


print("version: 1\nsettings: {takeover: replace}")
in_sets = sets()
print("policies:")
forward(interfaces([policy(n, in_sets) for n in ("p", "q", "s")[:pick.randrange(1, 4)]]))
