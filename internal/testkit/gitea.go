package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// GiteaServer is a forge of a test's own. Its methods, and those of what they return, fail the test instead of returning errors:
//
//	forge := testkit.Gitea(t)
//	ana := forge.User("ana")
//	repo := ana.Repo("infra")
//	clone := repo.Clone(ana)
type GiteaServer struct {
	t testing.TB
	// URL is where its pages are: http://127.0.0.1:PORT.
	URL string
	// Admin may do everything.
	Admin *GiteaUser

	client *http.Client
}

// GiteaUser is an account and a token of it that may do what the account may.
type GiteaUser struct {
	server                *GiteaServer
	Name, Password, Token string
}

// giteaPage is how many elements of a list Gitea answers with, so that lists have pages.
const giteaPage = 2

// Gitea starts a server with an administrator and nothing else. It listens on loopback, sends webhooks to loopback only, and keeps everything in
// a folder of the test.
func Gitea(t testing.TB) *GiteaServer {
	t.Helper()
	program, ok := inCache("gitea")
	if !ok {
		t.Fatal("Gitea is not installed; run: scripts/deps test")
	}
	dir := t.TempDir()
	port := FreePort(t)
	s := &GiteaServer{t: t, URL: "http://127.0.0.1:" + strconv.Itoa(port),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}} // no connection outlives the test
	if err := os.MkdirAll(filepath.Join(dir, "custom", "conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "custom", "conf", "app.ini"), []byte(giteaConfig(program, s.URL, port)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(program, dir)
	s.Admin = &GiteaUser{server: s, Name: "root", Password: rand.Text()}
	out := s.command(t.Context(), program, dir, "admin", "user", "create", "--admin", "--username", s.Admin.Name, "--password", s.Admin.Password,
		"--email", "root@example.org", "--must-change-password=false", "--access-token", "--access-token-name", "test", "--access-token-scopes", "all")
	said, err := out.Output()
	words := strings.Fields(string(said))
	if err != nil || len(words) == 0 {
		t.Fatalf("gitea admin user create: %v\n%s", err, said)
	}
	s.Admin.Token = words[len(words)-1] // after warnings, and a sentence
	return s
}

func giteaConfig(program, url string, port int) string {
	return fmt.Sprintf(`APP_NAME = Test
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %d
ROOT_URL = %s/
STATIC_ROOT_PATH = %s
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
LOG_SQL = false

[security]
INSTALL_LOCK = true
SECRET_KEY = %s
INTERNAL_TOKEN = %s
PASSWORD_HASH_ALGO = pbkdf2$1000$32

[repository]
DEFAULT_BRANCH = main

[api]
DEFAULT_PAGING_NUM = %d
MAX_RESPONSE_ITEMS = %d
ENABLE_SWAGGER = false

[webhook]
ALLOWED_HOST_LIST = loopback

[log]
LEVEL = warn

[session]
PROVIDER = memory

[queue]
TYPE = channel

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[oauth2]
ENABLED = false

[actions]
ENABLED = false

[packages]
ENABLED = false
`, port, url, filepath.Dir(program), rand.Text(), rand.Text()+rand.Text(), giteaPage, giteaPage)
}

// command is one of the program, with nothing of the machine's.
func (s *GiteaServer) command(ctx context.Context, program, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "USER=" + os.Getenv("USER"), "TMPDIR=" + dir, "GITEA_WORK_DIR=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
	cmd.SysProcAttr = diesWithTests()
	return cmd
}

func (s *GiteaServer) start(program, dir string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command(context.Background(), program, dir, "web") // ended below, and not while the test still asks it
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // its exit code says that it was killed
		_ = log.Close()
		if s.t.Failed() {
			s.t.Logf("gitea said:\n%s", read(s.t, log.Name()))
		}
	})
	if !within(2*time.Minute, s.healthy) {
		s.t.Fatal("Gitea does not answer")
	}
}

func (s *GiteaServer) healthy() bool {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+"/api/healthz", nil)
	if err != nil {
		return false
	}
	res, err := s.client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// User makes an account.
func (s *GiteaServer) User(name string) *GiteaUser {
	s.t.Helper()
	u := &GiteaUser{server: s, Name: name, Password: rand.Text()}
	s.Admin.do(http.MethodPost, "/admin/users", map[string]any{"username": name, "email": name + "@example.org", "password": u.Password, "must_change_password": false}, nil)
	u.Token = u.NewToken("all")
	return u
}

// NewToken makes a token with scopes: write:repository.
func (u *GiteaUser) NewToken(scopes ...string) string {
	u.server.t.Helper()
	var made struct {
		Token string `json:"sha1"`
	}
	u.send(func(req *http.Request) { req.SetBasicAuth(u.Name, u.Password) }, http.MethodPost, "/users/"+u.Name+"/tokens",
		map[string]any{"name": rand.Text(), "scopes": scopes}, &made)
	return made.Token
}

// do asks the API as the user. What is not answered well fails the test.
func (u *GiteaUser) do(method, path string, body, into any) {
	u.server.t.Helper()
	u.send(u.sign, method, path, body, into)
}

func (u *GiteaUser) send(sign func(*http.Request), method, path string, body, into any) {
	t := u.server.t
	t.Helper()
	status, answer := u.ask(sign, method, path, body)
	if status >= 300 {
		t.Fatalf("%s as %s: %s %s: %d %s", u.server.URL, u.Name, method, path, status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
}

func (u *GiteaUser) ask(sign func(*http.Request), method, path string, body any) (status int, answer []byte) {
	t := u.server.t
	t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, u.server.URL+"/api/v1"+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req)
	res, err := u.server.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it is read to its end
	if answer, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// there waits until something is there: Gitea looks at what was pushed after the push is over.
func (u *GiteaUser) there(path string) {
	u.server.t.Helper()
	Eventually(u.server.t, time.Minute, path, func() bool {
		status, _ := u.ask(u.sign, http.MethodGet, path, nil)
		return status == http.StatusOK
	})
}

func (u *GiteaUser) sign(req *http.Request) { req.Header.Set("Authorization", "token "+u.Token) }
