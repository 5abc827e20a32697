"""Small templates, one per feature or corner of the language. make_golden.py asks jinja2 what they give."""

# What every template here is rendered with.
DATA = {
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": " It's \"so\" \n"},
    ],
    "tools": [{"name": "f", "args": {"x": 1, "ü": [True, None, 1.5]}}],
    "variables": {
        "n": 7,
        "s": "a,b,,c",
        "u": "Straße Ωx 🦊",
        "l": [3, 1, 2],
        "d": {"b": 1, "A": 2, "c": None},
        "e": {},
        "people": [
            {"name": "Bo", "age": 30, "tags": ["x"]},
            {"name": "al", "age": 25, "tags": []},
            {"name": "Cy", "age": 30, "tags": ["y", "z"]},
        ],
        "q": "it's",
        "qq": "say \"hi\" it's",
        "odd": "tab\tnl\ncr\rbs\\nul\u0000del\u007fnbsp\u00a0zwsp\u200bls\u2028",
        "f": 0.1,
        "big": 1e16,
        "tiny": 1e-7,
        "html": "<a href='x'>&\"</a>",
        "items": "shadow",
        "mixed": {"items": [1], "keys": 2, "get": 3},
    },
}

# Expressions, each printed by itself.
EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3
7 / 2, 6 / 2, 2 ** 10, 2 ** -1, 2 ** 3 ** 2, -2 ** 2
7.5 // 2, -7.5 // 2, 7.5 % 2, -7.5 % 2, 1e300 * 1e10
1 / 0
1 // 0
1 % 0
1.0 // 0
0 ** -1
9223372036854775807 + 0
1_000_000 + 0x1F + 0b101 + 0o17
1.5e3, 1e-5, 1e16, 123456789012345680.0, 0.1 + 0.2, 1e22, 1.0, 100.0, -0.0, 12345.678e-10
true + 1, true == 1, false == 0, 1 == 1.0, '1' == 1, none == false
1 < 2 < 3, 1 < 2 > 3, 1 < 3 <= 3 != 4, 'a' < 'b', 'Z' < 'a', [1, 2] < [1, 3], (1,) < (1, 2)
'a' < 1
none < 1
[1] < (1,)
{} < {}
1 if true else 2, 1 if false, (1 if false) is defined
1 if 0 else 2 if 0 else 3
not true, not not 1, not none
1 and 2, 0 and 2, 1 or 2, 0 or 2, none or 'x', '' or [], 0 or undefined_name
not 1 == 2, not 1 in [1]
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] ~ missing
'a' + 'b' 'c'
'a' + 1
1 + 'a'
'a' * 3, 3 * 'a', 'a' * -1, [1] * 2, (1, 2) * 2
'a' - 'b'
[1] + [2], (1,) + (2,)
[1] + (2,)
'%s is %d and %5.2f|%-5s|%05d|%x|%%' % ('a', 3, 2.5, 'l', 42, 255)
'%s' % 'x', '%s' % [1, 2], '%s' % none, '%r' % 'x', '%d' % 3.9, '%(a)s-%(b)d' % {'a': 1, 'b': 2}
'%+d % d %+.1e %G %o %X %.3s|' % (1, 2, 3.5, 1e10, 8, 255, 'abcdef')
'%d' % 'x'
'%s %s' % 'x'
'x' % 1
'%q' % 1
1 in [1, 2], 3 not in [1, 2], 'a' in 'abc', 'b' in d, 'x' in d, 1 in (1,), '' in ''
1 in 'abc'
1 in none
1 in missing, 'x' not in missing
[1] in [[1], 2], {'a': 1} == {'a': 1.0}, [1, [2]] == [1, [2]], (1,) == [1]
'ab' in ['a', 'b'], none in [none]
[] in {}
[1, 'a', none, true, 1.5, [], {}, (), (1,), 'it\'s', "q\"q", {'k': 'v', 1: 2}]
q, [q], [qq], [odd], [u]
tools
d, e, l, f, big, tiny
[f, big, tiny, 1e15, 123.0]
missing, [missing]
missing.attribute
missing['key']
missing()
missing + 1
-missing
missing < 1
missing == missing, missing != 1, missing is defined, not missing
d.b, d['b'], d.get('b'), d.get('zz'), d.get('zz', 5), d.zz, d['zz'] is defined
d.zz.yy
none.x, none['x'] is defined, (5).x is defined, 'abc'.zzz is undefined
none.x.y
mixed.items() | list, mixed['items'], mixed.keys() | list, mixed['keys'], mixed.get('get')
d.items(), d.keys(), d.values()
d.items() | list, d.keys() | list | length, d.values() | list
d.items()[0] is defined, d.keys() is sequence, d.items() is iterable, d.keys() | length
d.__class__, d.update is defined, l.append is undefined, [d.__class__]
d.update({'a': 1})
l.append(4)
l.pop()
d.copy(), l.copy(), l.index(1), l.count(3), (1, 2, 1).count(1), (1, 2).index(2)
l.index(99)
l[0], l[-1], l[99] is defined, l['x'] is defined, l[1.0] is defined, l[true], l.0
l[-4] is defined, l[-3], 'abc'[1], 'abc'[-1], 'abc'[5] is defined, u[5], u[-1], u[4]
l[1:], l[:-1], l[::-1], l[5:], l[-2:], l[::2], l[2:0:-1], l[-100:100], l[:none]
'abcdef'[1:4], 'abcdef'[::-1], 'abcdef'[-3:], u[:4], u[::-1], u[6:8], 'abc'[2:1], 'abcdef'[4:1:-2]
(1, 2, 3)[1:], range(10)[2:5] | list, 'x'[:0] ~ '.'
l[::0]
l['a':]
d.c[1:]
d[1:]
missing[1:]
d[[1]] is defined
range(3) | list, range(1, 4) | list, range(5, 0, -2) | list, range(0) | list, range(3)[1], range(3) | length
range(0, 1, 0)
range(1.5)
range(100001)
dict(a=1, b=2), dict([('x', 1), ['y', 2]]), dict({'a': 1}, b=2), {'a': 1, 'a': 2}, {1: 'a', 1.0: 'b', true: 'c'}
{'a': 1}['a'], {1: 2}[1], {1: 2}[1.0], {none: 1}[none]
{[1]: 2}
{'x': 1, 'y': {'z': [1, 2, {'w': none}]}}.y.z[2].w
namespace(a=1).a, namespace({'x': 2}).x, namespace().zz is defined
namespace(_a=1)
raise_exception('no: ' ~ n)
raise_exception(none)
strftime_now('%Y-%m-%d'), strftime_now('%d %b %Y'), strftime_now('%B %d, %Y'), strftime_now('')
messages[0].content, messages[-1]['role'], messages | length
'\x41\u00e9\U0001F98A\101\n\t\\\'\"\d'
"a
b"
'a' 'b' "c"
(1, 2), (1,), (), ((1, 2), 3)
[1, 2,], {'a': 1,}, (1, 2,)
l | length, 'abc' | length, u | length, d | count, '' | length, missing | length, range(4) | count
5 | length
none | length
' a b ' | trim ~ '.', 'xxaxx' | trim('x'), 5 | trim, none | trim, missing | trim ~ '.', ' \n\u00a0a\u2003' | trim
'ab' | upper, 'AB' | lower, u | upper, u | lower, none | upper, 'straße' | upper, 'ΑΣ' | lower | length
'hello world-foo (bar [baz {qux <a' | title, "it's o'neil" | title, 'ÀB ß' | title
'hELLO' | capitalize, 'ǆx' | capitalize, '' | capitalize, 5 | capitalize
"hello world it's".title(), 'hELLO'.capitalize(), 'a1b'.title(), 'x'.upper(), 'X'.lower()
'a-b-c' | replace('-', '+'), 'a-b-c' | replace('-', '+', 1), 'abc' | replace('', '.'), 5 | replace(5, 6), none | replace('o', '0')
'a-b'.replace('-', '+'), 'aaa'.replace('a', 'b', 2), 'abc'.replace('', '-'), 'abc'.replace('', '-', 2), ''.replace('', 'x'), 'aaa'.replace('aa', 'b')
'a'.replace('a', 1)
'a'.replace('a')
'a,b,,c'.split(','), s.split(',', 1), s.split(), '  a  b '.split(), '  a  b c '.split(none, 1), ''.split(), ''.split(','), 'a  b'.split(' ')
s.rsplit(',', 1), '  a  b c '.rsplit(none, 1), ' a b '.rsplit(), s.rsplit(','), 'a'.split(sep='a', maxsplit=1), 'abc'.split('bc')
'a'.split('')
'a'.split(1)
'a\nb\r\nc\rd\u2028e\n'.splitlines(), 'a\n\nb'.splitlines(), ''.splitlines(), 'a\nb\n'.splitlines(true)
' a '.strip() ~ '.', ' a '.lstrip() ~ '.', ' a '.rstrip() ~ '.', 'xyaxy'.strip('yx'), 'aéa'.strip('a'), 'éaé'.strip('é'), 'x'.strip('')
'a'.strip(chars='a')
'abc'.startswith('ab'), 'abc'.startswith(('x', 'a')), 'abc'.startswith('b', 1), 'abc'.endswith('bc'), 'abc'.endswith(('x',)), 'abc'.startswith(''), 'abc'.startswith('', 5), 'abcd'.endswith('c', 0, 3)
'abc'.startswith(1)
'abc'.startswith(['a'])
'abcabc'.find('c'), 'abc'.find('x'), 'abcabc'.rfind('c'), u.find('x'), 'abc'.find('c', 1), 'abc'.find('a', 1), 'abc'.find(''), 'abc'.find('b', -2, -1), 'abc'.index('b'), 'abab'.rindex('a')
'abc'.index('x')
'abab'.count('ab'), 'aaa'.count('aa'), 'abc'.count(''), 'abab'.count('a', 1)
','.join(['a', 'b']), ''.join(('x',)), '-'.join('abc'), ', '.join(d)
','.join([1])
'a=b=c'.partition('='), 'a=b=c'.rpartition('='), 'a'.partition('='), 'a'.rpartition('=')
'prefix-x'.removeprefix('prefix-'), 'x.txt'.removesuffix('.txt'), 'x'.removeprefix('y'), 'x'.removesuffix('')
'a'.ljust(3) ~ '.', 'a'.rjust(3, '*'), 'a'.center(4) ~ '.', 'ab'.center(5, '*'), 'abc'.center(1), '-5'.zfill(4), '5'.zfill(3), '+'.zfill(3), 'abc'.zfill(2)
'abc' | center(9) ~ '.', 'abcd' | center(9) ~ '.', 'abc' | center(8) ~ '.'
'a1'.isalnum(), 'a'.isalpha(), '1'.isdigit(), '²'.isdigit(), '²'.isdecimal(), '½'.isnumeric(), ' '.isspace(), ''.isspace(), 'a'.islower(), 'A'.isupper(), 'a1'.islower(), '1'.islower(), 'aé'.isascii(), ''.isascii(), 'ß'.isalpha()
'{} and {}'.format(1, 'b'), '{0}{1}{0}'.format('a', 'b'), '{x}'.format(x=1), '{{}}{}'.format(none)
'{}'.format()
'{'.format(1)
'%s-%s' | format(1, 'x'), '%(a)s' | format(a=1), '%.2f' | format(2), '%3d|%-3d|' | format(7, 7)
l | first, l | last, [] | first is defined, 'abc' | first, 'abc' | last, d | first, d | last, range(3) | last, missing | first is defined
5 | first
l | sort, l | sort(reverse=true), ['b', 'A', 'c'] | sort, ['b', 'A', 'c'] | sort(case_sensitive=true), 'hello' | sort | join
people | sort(attribute='age') | map(attribute='name') | list, people | sort(attribute='age,name') | map(attribute='name') | join(' ')
people | sort(attribute='name', reverse=true) | map(attribute='name') | join(','), people | sort(attribute='tags.0') | length
people | sort(attribute='nope') | map(attribute='name') | join(',')
people | sort
[1, 'a'] | sort
[none, 1] | sort
d | dictsort, d | dictsort(true), d | dictsort(reverse=true), {'a': 2, 'b': 1} | dictsort(by='value'), {'a': 'B', 'b': 'a'} | dictsort(false, 'value')
d | dictsort(by='value')
l | dictsort
missing | dictsort
l | min, l | max, ['b', 'A'] | min, ['b', 'A'] | max, people | min(attribute='age'), (people | max(attribute='age')).name, [] | max is defined
[1, 'a'] | max
l | sum, people | sum(attribute='age'), [[1], [2]] | sum(start=[]), [] | sum, [0.1, 0.2] | sum, l | sum(start=10)
['a'] | sum
l | join, l | join('-'), ['a', none, true, 1.5] | join(','), people | join('/', attribute='name'), 'abc' | join('.'), d | join, [] | join, l | join(1)
5 | join
l | reverse | list, 'abc' | reverse, (1, 2) | reverse | list, d | reverse | list, u | reverse
l | list, 'abc' | list, d | list, missing | list, d.items() | list, l is sameas l
none | list
[1, 2, 1, 'a', 'A'] | unique | list, ['a', 'A'] | unique(case_sensitive=true) | list, people | unique(attribute='age') | map(attribute='name') | list
l | map('string') | list, ['a', 'b'] | map('upper') | join, people | map(attribute='name') | list, people | map(attribute='tags.0', default='-') | list, people | map(attribute='zz') | list, [[1, 2]] | map(attribute=1) | list, ['a-b'] | map('replace', '-', '+') | list, [] | map('upper') | list
l | map('nope') | list
l | map | list
people | map(attribute='name', zz=1) | list
l | select | list, [0, 1, ''] | select | list, l | select('odd') | list, l | select('gt', 1) | list, l | reject('odd') | list, [none, 1] | reject('none') | list, l | select('in', [1, 2]) | list
people | selectattr('tags') | map(attribute='name') | list, people | selectattr('age', 'equalto', 30) | map(attribute='name') | list, people | rejectattr('age', 'lt', 30) | list | length, people | selectattr('zz', 'defined') | list
l | select('nope') | list
l | map('string')  | first
[d, e] | map('length') | list, [d] | map('items') | map('list') | list
missing | map('upper') | list, missing | select | list
d | items | list, missing | items | list
l | items | list
l | batch(2) | list, [1, 2, 3] | batch(2, 0) | list, l | slice(2) | list, range(7) | slice(3, 'x') | list, [] | batch(2) | list
missing | default('x'), none | default('x'), '' | default('x', true), 0 | d(5, true), missing | default, d.zz | default(d.b), missing | default(default_value=3), false | default('x', boolean=true)
'42' | int, '42.9' | int, 'x' | int, 'x' | int(7), 3.9 | int, -3.9 | int, none | int, true | int, ' 12 ' | int, '1_000' | int, '1__0' | int, '-5' | int, '+5' | int, '1e3' | int, '' | int, [] | int(default=2), 'inf' | int
missing | int
'1.5' | float, 'x' | float, 'x' | float(2.5), 3 | float, none | float, '1e3' | float, ' .5 ' | float, '5.' | float, '1_0.5' | float, 'inf' | float, '-nan' | float is float, 'infinity' | float
1.5 | abs, -3 | abs, true | abs, -0.0 | abs
'x' | abs
2.5 | round, 3.5 | round, 42.55 | round(1), 42.55 | round(1, 'floor'), 42.51 | round(0, 'ceil'), 5 | round, 2.675 | round(2), 1e20 | round, -2.5 | round, 5 | round(1, 'ceil')
1 | round(1, 'up')
'x' | round
1 | string + 'a', none | string, [1] | string, 'x' | string, 1.0 | string, missing | string ~ '.'
html | e, html | escape | string, 5 | e, (html | e) + '<b>', '<b>' + (html | e), html | e | e, none | e
(html | safe) + '<', '<' + ('>' | safe), ('<' | safe) ~ '<', ('<' | safe)[0] + '<', ['<' | safe] | join + '<', ['<' | safe], ('<' | safe) is escaped, '<' is escaped, ('a<' | safe) | upper + '<', (' <' | safe).strip() + '<', ('<' | safe) | tojson + '<', ('<' | safe) * 2 + '>'
'a\nb\n\nc' | indent, 'a\nb' | indent(2), 'a\nb' | indent(2, true), 'a\n\nb' | indent(2, false, true), 'a\nb' | indent('>> '), 'a\nb' | indent(width=1, first=true), '' | indent ~ '.', 'a\n' | indent ~ '.'
5 | indent
'foo bar baz qux' | truncate(9), 'foo bar baz qux' | truncate(9, true), 'foo bar baz qux' | truncate(11), 'foo bar baz qux' | truncate(11, false, '...', 0), 'short' | truncate, 'foobarbazqux' | truncate(5, false, '.', 0)
'a b  c-d, é_f 1' | wordcount, '' | wordcount
tools | tojson, d | tojson, 'ü🦊\u2028\u007f\u0001\b\f/"\\' | tojson, 1.0 | tojson, 1e100 | tojson, none | tojson, true | tojson, () | tojson, [] | tojson, {} | tojson, [1e-7, 0.1, 12345678901234567] | tojson
tools | tojson(indent=2)
d | tojson(indent=0), [1, [2, {}], {'a': []}] | tojson(indent='\t'), d | tojson(sort_keys=true), d | tojson(separators=(',', ':')), d | tojson(indent=1, separators=(' ; ', ' = ')), 'ü🦊\u007f' | tojson(ensure_ascii=true), d | tojson(false, 1)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson, (1, (2,)) | tojson, 'inf' | float | tojson, 'nan' | float | tojson
missing | tojson
d.items() | tojson
range(3) | tojson
l | map('string') | tojson
namespace() | tojson
odd | tojson
1 is defined, missing is defined, missing is undefined, none is none, 0 is none, none is not none
1 is number, true is number, 1.5 is number, '1' is number, 1 is integer, true is integer, 1.0 is integer, 1.0 is float, 1 is float, true is boolean, 1 is boolean, true is true, 1 is true, false is false, 0 is false
'a' is string, ('a' | safe) is string, 1 is string, {} is mapping, [] is mapping, [] is sequence, 'a' is sequence, {} is sequence, 1 is sequence, none is sequence, missing is sequence, () is sequence, range(2) is sequence
[] is iterable, 'a' is iterable, {} is iterable, 1 is iterable, none is iterable, missing is iterable, d.items() is iterable, true is iterable
3 is odd, 4 is even, 9 is divisibleby 3, 9 is divisibleby(4), 2 is eq 2, 2 is ne 3, 2 is lt 3, 2 is le 2, 3 is gt 2, 3 is ge 4, 1 is in [1], 'a' is in 'abc', 1 is not in [2], 2 is equalto(2), 3 is greaterthan 2, 1 is lessthan 2, -3 is odd
'x' is odd
'a' is lt 1
'abc' is lower, 'aBc' is lower, 'ABC' is upper, '12' is upper, 'éa' is lower
none is sameas none, 1 is sameas true, true is sameas true, l is sameas [3, 1, 2], d is sameas d
range is callable, d.get is callable, 1 is callable, missing is callable, namespace is defined, strftime_now is defined, nope is defined
'upper' is filter, 'nope' is filter, 'odd' is test, 'nope' is test
1 is defined and 2 is defined, not missing is defined, 1 is not string, missing is not defined or true, 'x' if 1 is defined else 'y', 5 is divisibleby 5 and true
d is mapping and d.b is defined, messages[0].content is string, l is not mapping and l is iterable
1 is nope
1 | nope
(1 | nope) if false else 2
(1 | nope) if true else 2
1 is nope if false else 3
n | nope.dotted
-n, +n, - -n, -n | abs, -1 | abs, (-1) | abs, -l[0], 2 - -1, +true, -true
-'a'
+'a'
range(*[1, 4]) | list, dict(**{'a': 1}), range(*(3,)) | list, 'a,b'.split(*[','], **{'maxsplit': 0})
range(1, 2, 3, 4)
range()
range(stop=3)
dict(1)
'x' | upper('y')
'x' | replace('a')
'x' | trim(foo=1)
1()
'a'()
d()
n.foo()
'a'.foo()
lipsum_not | default('none'), u | length, u.upper(), u | list | length, u[7:]
l|map('string')|join(', ')|upper
not missing.x
messages | map(attribute='role') | list, messages | selectattr('role', 'equalto', 'user') | list | length, messages[1:] | length, messages[::-1] | map(attribute='role') | join('<')
'abc'|first|upper~'x'|lower
1,
(1, 2)[0], [[1, 2], [3]][0][1], {'a': {'b': 1}}.a.b, 'abc'.upper()[1:].lower()
{'a': 1}.items() | list, {'a': 1} | items | list | first
1 == 1 == 1, 1 in [1] == true, (1 in [1]) == true
'A' ~ 'B' * 2 + 'C', 1 + 2 ~ 3 + 4, 2 * 3 ~ 4
loop is defined, caller is defined, self_x is defined, varargs is defined
true, True, false, False, none, None
"{{", '}}', "{%", '%}', {'a': {'b': 1}}
"""

# Whole templates.
TEMPLATES = [
    # Text and white space.
    "",
    "\n",
    "\n\n",
    "plain",
    "a\r\nb\rc\n",
    "{ a } {a} }} %} #} { { % }",
    "a{# c #}b{# multi\nline #}\nc{#- x -#} \n d  {#+ y +#}\n e",
    "  {# c #}\n x",
    "{{ 1 }}\n{{ 2 }}\n",
    "{{ 1 -}}   \n  x  {{- 2 }} {{- 3 -}} y",
    "  {{ 1 }}  \n  {{- 2 }}",
    "{% if true %}\nA\n{% endif %}\nB\n",
    "  {% if true %}  \n  A\n  {% endif %}  \n  B",
    "x  {% if true %}y{% endif %}  z",
    "\t {%+ if true %}\nA{%+ endif +%}\nB",
    "{% if true -%}   \n\n  A  \n  {%- endif %}  B",
    "a\n   {%- if true -%}\n  b\n   {%- endif -%}\n   c",
    "a \u00a0\u2003{%- if true -%}\u2003 \u00a0b{% endif %}",
    "   {% set x = 1 %}   {% set y = 2 %}\n   {{ x }}{{ y }}",
    "{% raw %}{{ x }} {% if %} {# #}{% endraw %}!",
    "  {% raw %}\n a {{ 1 }}\n  {% endraw %}\n b",
    "a {%- raw -%}  \n {{ x }} {%- endraw -%} \n b",
    "{% raw -%}\n  x\n{%- endraw %}\ny",
    "{% raw %}{% endraw %}{%raw%}{%%}{%endraw%}",
    "{{ '{% raw %}' }}{{ \"}}\" }}{{ {'a': {}} }}{{ {'a': {'b': 1}}['a'] }}",
    "{%- set x = '%}' -%}{{ x }}",
    "{{ 'a' -}}\n\n{{- 'b' }}",
    "{{'a'}}{{ 'b'}}{{'c' }}",
    "x\n\n\n",
    "{% if true %}x{% endif %}\n",
    "{%if true%}x{%endif%}{%for i in l%}{{i}}{%endfor%}",
    "é{{ u }}ü{# ö #}ß",
    # Broken syntax.
    "{{ 1",
    "{% if true %}",
    "{{ }}",
    "{% %}",
    "{% endif %}",
    "{% if %}{% endif %}",
    "{% if true %}{% endfor %}",
    "{% for x %}{% endfor %}",
    "{% for x in %}{% endfor %}",
    "{# open",
    "{% raw %} open",
    "{{ 'open }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ [1, }}",
    "{{ {1} }}",
    "{{ 1 2 }}",
    "{{ a b }}",
    "{{ a. }}",
    "{{ a.'b' }}",
    "{{ ? }}",
    "{{ a | }}",
    "{{ a is }}",
    "{{ a is b is c }}",
    "{{ f(a=1, 2) }}",
    "{{ f(*a, *b) }}",
    "{{ f(**a, b) }}",
    "{{ '\\x4' }}",
    "{{ '\\uZZZZ' }}",
    "{% set %}",
    "{% set 1 = 2 %}",
    "{% set true = 2 %}",
    "{% set a.b.c = 2 %}",
    "{% set x[0] = 2 %}",
    "{% set f() = 2 %}",
    "{% macro %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(a %}{% endmacro %}",
    "{% unknown %}",
    "{% do l.append(1) %}",
    "{% break %}",
    "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% else %}",
    "{{ 1 if }}",
    "{{ not }}",
    "{{ 1 + }}",
    "{{ 007 }}",
    # If.
    "{% if n > 5 %}big{% elif n > 2 %}mid{% else %}small{% endif %}",
    "{% if n > 50 %}big{% elif n > 2 %}mid{% else %}small{% endif %}",
    "{% if n > 50 %}big{% elif n > 20 %}mid{% else %}small{% endif %}",
    "{% if missing %}a{% elif none %}b{% elif [] %}c{% elif '' %}d{% elif {} %}e{% elif 0 %}f{% elif 0.0 %}g{% endif %}.",
    "{% if 1, %}tuple{% endif %}",
    "{% if true: %}colon{% endif %}",
    "{% if false %}{{ 1 | nope }}{% endif %}ok",
    "{% if true %}{{ 1 | nope }}{% endif %}",
    "{% if false %}{% for x in l %}{{ x | nope }}{% endfor %}{% endif %}",
    "{% if false %}{{ 1 is nope }}{% endif %}ok",
    "{% macro m() %}{{ 1 | nope }}{% endmacro %}ok",
    "{% if false %}{{ raise_exception('no') }}{% endif %}ok",
    # For.
    "{% for x in l %}{{ x }},{% endfor %}",
    "{% for x in [] %}x{% else %}empty{% endfor %}",
    "{% for x in missing %}x{% else %}empty{% endfor %}",
    "{% for x in 'añ🦊' %}[{{ x }}]{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | items %}{{ k }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in range(4) %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem | default('-') }}<{{ x }}<{{ loop.nextitem | default('-') }} {% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in l %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% else %}none{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in l %}{% for y in [1, 2] %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in l %}{% set o = loop %}{% for y in 'ab' %}{{ o.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}!",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}|{% endfor %}",
    "{% for x in [] %}{% else %}e{% endfor %}{% for y in [1] %}{% for x in [] %}{% else %}{% break %}{% endfor %}no{% endfor %}.",
    "{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}, {'v': 3, 'c': [{'v': 4, 'c': []}]}]}] recursive %}{{ n.v }}@{{ loop.depth }}({{ loop(n.c) }}){% endfor %}",
    "{% for x in l %}{{ loop(l) }}{% endfor %}",
    "{% for x in l %}{{ loop.nope is defined }}{{ loop['index'] }}{% endfor %}",
    "{{ loop }}",
    "{% for x in l | map('string') %}{{ loop.length }}{{ x }}{% endfor %}",
    "{% set g = l | select %}{{ g | first }}{{ g | first }}{{ g | list }}{{ g | list }}",
    "{% set g = l | map('string') %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% else %}spent{% endfor %}{% if g %}true{% endif %}",
    "{% set g = l | select %}{{ g | length }}",
    "{% set g = l | select %}{{ g | last }}",
    "{% set g = l | select %}{{ g[0] is defined }}{{ 1 in g }}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in l if loop is defined %}{{ x }}{% endfor %}",
    "{% for message in messages %}{{ message.role }}: {{ message.content | trim }}\n{% endfor %}",
    # Set and scopes.
    "{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (a, b) = [b, a] %}{{ a }}{{ b }}",
    "{% set a, b = 1 %}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% for i in l %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for i in l %}{% if loop.first %}{% set y = i %}{% endif %}{{ y | default('-') }}{% endfor %}{{ y is defined }}",
    "{% set ns = namespace(x=1, y=[]) %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y + [i] %}{% endfor %}{{ ns.x }}{{ ns.y }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}{{ ns.items is defined }}",
    "{% set d.x = 1 %}",
    "{% set nope.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x is string }}{{ x | length }}",
    "{% set x | upper | replace('A', '-') %}a{{ n }}b{% endset %}{{ x }}",
    "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}",
    "{% set ns = namespace() %}{% set ns.x %}block{% endset %}{{ ns.x }}",
    "{% set x = 1, %}{{ x }}",
    "{% set n = 1 %}{{ n }}{% set messages = messages[1:] %}{{ messages | length }}",
    "{% set x = missing %}{{ x is defined }}{{ x }}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% filter upper %}abc{{ s }}{% endfilter %}{% filter trim | replace('b', 'x') %}  b  {% endfilter %}",
    "{% generation %}a{% set z = 1 %}{{ z }}{% endgeneration %}{{ z is defined }}",
    "{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% print 1, 2 %}",
    # Macros.
    "{% macro m(a, b=2, c='x') %}[{{ a }}|{{ b }}|{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5, c=6) }}{{ m() }}{{ m(b=none) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs | join('.') }}{{ kwargs.z }}{% endmacro %}{{ m(1, 2, 3, z=4) }}",
    "{% macro m() %}  x  {% endmacro %}[{{ m() }}][{{ m() | trim }}][{{ m() is string }}]",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{{ m is defined }}{% macro m() %}{% endmacro %}{{ m is defined }}{{ m is callable }}",
    "{{ m() }}{% macro m() %}{% endmacro %}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}",
    "{% macro m() %}{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}{% endmacro %}{{ m() }}",
    "{% macro outer() %}{% macro inner(x) %}<{{ x }}>{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}{{ inner is defined }}",
    "{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}body{{ n }}{% endcall %}",
    "{% macro m() %}({{ caller(1, y=2) }}){% endmacro %}{% call(x, y) m() %}{{ x }}{{ y }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% call nope() %}{% endcall %}",
    "{% call 1 %}{% endcall %}",
    "{% macro m(l) %}{% for x in l %}{{ x }}{% endfor %}{% endmacro %}{{ m([1, 2]) }}{{ m('ab') }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ [1, 2] | map('string') | map('upper') | join(m('-')) }}",
    "{% macro m() %}{{ raise_exception('inside ' ~ n) }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{% endmacro %}{% set f = m %}{{ f() }}{{ namespace(f=m).f() }}.",
    # Exceptions keep their words.
    "{{ raise_exception('Roles must alternate: \"user\"/assistant\\n{}!') }}",
    "{% if messages[0].role != 'system' %}{{ raise_exception('No system') }}{% endif %}",
    # What is left out is refused.
    "{% block x %}{% endblock %}{% extends 'y' %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
]


def all_templates():
    for line in EXPRESSIONS.replace('"a\nb"', '"a\\nb"').strip("\n").split("\n"):
        yield "{{ " + line + " }}"
    yield from TEMPLATES
