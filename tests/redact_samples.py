"""Texts with secrets, without, and torn ones: what the redactor's tests are about."""

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmVk"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIhunter2\n-----END RSA PRIVATE KEY-----"

# Each hunter2 is a secret, and each ~ is one; a * is what stands in its place.
SECRET_TEXTS = [
    (
        text.replace("~", "hunter2"),
        text.replace("hun ~ x", "~").replace("~", "[REDACTED]"),
    )
    for text in r"""
password=~
password = '~'
password = 'hun ~ x'
password: ~
"password": "~"
'password': '~'
{"password":"~","user":"bob"}
{\"password\":\"~\",\"user\":1}
db_password="~" user="bob"
userPassword=~ next
AWS_SECRET_ACCESS_KEY=~
X-Api-Key: ~
API key: ~
Api-Key: '~'
password => "~"
token := ~
PWD=~;Database=shop
Server=db;Uid=bob;Pwd=~;Database=shop
password=~, user=bob
password=~,user=bob
password=~&user=bob
User(name='bob', password='~', age=3)
User(name=bob, password=~)
os.environ["TOKEN"] = "~"
GET /login?token=~&x=1 HTTP/1.1
GET /login?x=1&access_token=~ HTTP/1.1
"GET /login?token=~ HTTP/1.1" 200
/cb?next=%2Fa%3Ftoken%3D~
user[password]=~&x=1
user%5Bpassword%5D=~&x=1
token: ~
jwt=~
client_secret=~
passphrase: ~
UPDATE users SET password = '~' WHERE id = 7
[parameters: {'token': '~', 'id': 7}]
psql --password ~ -h db
password                : ~
<wsse:Password Type="text">~</wsse:Password>
worker --api-key=~ -v
['psql', '--password', '~']
Authorization: ~
Authorization=~ user=bob
{'Authorization': '~', 'Accept': '*/*'}
{"authorization":"~"}
{b'Authorization': b'~'}
[(b'authorization', b'~'), (b'accept', b'x')]
[('Cookie', '~'), ('Accept', 'x')]
b'GET / HTTP/1.1\r\nAuthorization: ~\r\nHost: x'
b'GET / HTTP/1.1\r\ncookie: ~\r\nHost: x'
curl -H 'Authorization: ~' https://x
curl -H "Cookie: ~" https://x
Proxy-Authorization: ~
Bearer ~
bearer ~
BEARER ~ sent
with Bearer ~, again
Cookie: ~
Set-Cookie: ~
postgresql://user:~@host/db
postgresql+asyncpg://user:~@host:5432/db?ssl=1
redis://:~@127.0.0.1:6379/0
http://user:~@host:80/x?email=a@b.c
amqp://user:~@host//
""".strip().splitlines()
]
SECRET_TEXTS += [
    (text, becomes.replace("*", "[REDACTED]"))
    for text, becomes in [
        ("login with password=%s", "login with password=*"),
        ("Authorization: Bearer hunter2", "Authorization: *"),
        ("authorization: Token hunter2", "authorization: *"),
        ("authorization=Bearer hunter2 user=bob", "authorization=* user=bob"),
        (
            'Authorization: Digest username="bob", response="hunter2"',
            "Authorization: *",
        ),
        ("token: Bearer hunter2", "token: *"),
        ("Cookie: a=b; c=hunter2", "Cookie: *"),
        ("cookie=a=b; c=hunter2 took=3", "cookie=* took=3"),
        ("Set-Cookie: sid=hunter2; Path=/; HttpOnly", "Set-Cookie: *"),
        ("{'cookies': {'a': 'hunter2', 'b': 1}, 'x': 2}", "{'cookies': *, 'x': 2}"),
        ("{'set-cookie': ['a=hunter2', 'b=c']}", "{'set-cookie': *}"),
        ("passphrase: correct horse hunter2", "passphrase: *"),
        ('db_password="it\'s hunter2"', 'db_password="*"'),
        (r'{"password": "a\"hunter2"}', '{"password": "*"}'),
        (r"{\"password\": \"a\\\"hunter2\"}", r"{\"password\": \"*\"}"),
        ("Config(password=Secret('hunter2'), x=1)", "Config(password=*, x=1)"),
        ("password = get_password()", "password = *"),
        ("password=a,hunter2", "password=*"),
        ("password=a)hunter2 x", "password=* x"),
        ("password=it's-hunter2 x", "password=* x"),
        ("password='hunter2", "password='*"),
        ("AWS_SECRET_ACCESS_KEY=ab/hunter2+x==", "AWS_SECRET_ACCESS_KEY=*"),
        ("postgresql://u:a:b/hunter2#x@host/db", "postgresql://u:*@host/db"),
        ("postgresql://u:p@hunter2/x@host/db", "postgresql://u:*@host/db"),
        ("redis://:12/hunter2@host/0", "redis://:*@host/0"),
        ("http://u:p%40hunter2@host/x", "http://u:*@host/x"),
        ("https://u:p@hunter2@host/x", "https://u:*@host/x"),
        ("https://token:hunter2@github.com/a/b", "https://token:*@github.com/a/b"),
        ("Basic Ym9iOmh1bnRlcjI=", "Basic *"),
        (f"got {JWT} from bob", "got * from bob"),
        (f"key:\n{KEY}\nthe end", "key:\n*\nthe end"),
        (KEY[:50], "*"),
        ("MIIhunter2\nabc=\n" + KEY[-29:] + "\nend", "*\nend"),
        (repr(KEY), "'*'"),
        ("clone with ghp_" + "a1" * 18, "clone with *"),
        ("github_pat_" + "a1" * 30, "*"),
        ("glpat-" + "a1" * 10, "*"),
        ("slack xoxb-123456789012-hunter2", "slack *"),
        ("AKIAIOSFODNN7EXAMPLE", "*"),
        ("using sk-proj-" + "a1B" * 10, "using *"),
        ("sk_live_" + "a1" * 12, "*"),
    ]
]

HARMLESS_TEXTS = r"""
token_count=5
the password was wrong
key: value pairs
author: Bob
secretary = Eve
tokens: 512
max_tokens=100
primary key = 7
cookie_consent=true
bearer of bad news
the bearer carries a note
Bearer token missing
Bearer authentication is required
WWW-Authenticate: Bearer realm="shop"
WWW-Authenticate: Basic realm="shop"
Basic authentication failed
basic usage: see the docs
Basic HTML5 page
http://host:8080/users/@bob?x=a@b.c
http://localhost:5000/a@b
https://[::1]:8080/x@y
mail bob@example.com: http://x.y/
10.0.0.1 - - [23/Nov/2026:00:00:00 +0000] "GET /a?page=2&key=7 HTTP/1.1" 200 512 "-"
SELECT id, password, token FROM users WHERE id = 7
INSERT INTO keys (id, name) VALUES (1, 'x')
duplicate key value violates unique constraint "users_pkey": Key (id)=(7) exists
KeyError: 'password'
fields: ['password', 'token', 'name']
Token::Invalid happened
File "/app/tokens.py", line 3, in check_password
AttributeError: 'NoneType' object has no attribute 'token'
ValueError: password is too short
TypeError: get() missing 1 required positional argument: 'key'
unexpected token at position 5
Item(key='a', keyboard='qwerty', monkey=1)
{'tokens': 3, 'keys': ['a'], 'authors': []}
sk-button-large-primary is a class
task-7 and disk-1 are away
eyJust a word
passed: 12, failed: 0, bypass=true
authorized: yes
the option --password is required
secret santa
tokenizer=bpe
2026-11-23 00:00:00,000 INFO worker_7: took=3ms queue=checkout-main
weight_kg=3 might_be=true
a@b://c
""".strip().splitlines()
HARMLESS_TEXTS += ["", " ", "=", ":", "@", "\n", "a" * 1000]

BROKEN_UP = [
    "password", "token", "Cookie", "Authorization", "key", "api key", "a", "x1", "=",
    ":", " ", "  ", '"', "'", "\\", "\\n", "\n", ",", ";", "&", "(", ")", "[", "]", "{",
    "}", "<", ">", "@", "://", "/", "?", "#", "%", "%3D", "Bearer", "basic", "--", "-",
    "eyJab.cd.ef", "[REDACTED]", "dXNlcjpwYXNz", "b'", "postgres", "é", ".", "\t", "12",
    "ghp_" + "a" * 25, "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
]  # fmt: skip
