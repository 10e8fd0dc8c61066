"""The Debian package: built of this checkout, installed, upgraded in the middle of a run, removed and purged."""

import pytest
from machine import BUILD, Machine
from service import CHECKOUT, GATED, SOURCE, Service, wait_for_end
from traces import files, users

NEXT = "9.9.9"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y"
IN_THE_MIDDLE_OF_A_RUN = 20  # seconds that a command may take while a run goes on for ever


@pytest.fixture(scope="module")
def builder(release, tmp_path_factory):
    """A machine with what builds packages, and the checkout of an ordinary user in it."""
    dist = tmp_path_factory.mktemp("dist")
    with Machine(release, BUILD, binds={dist: f"{SOURCE}/dist"}) as machine:
        machine.copy(CHECKOUT, SOURCE)
        machine.run(f"chown -R nobody {SOURCE}")
        machine.dist = dist
        yield machine


@pytest.fixture(scope="module")
def dist(builder):
    """The directory with the package in it: its unit tests passed, and lintian is content."""
    built = builder.run([f"{SOURCE}/deploy/build-deb.sh"], user="nobody", timeout=300)
    assert " passed" in built.stdout
    return builder.dist


@pytest.fixture(scope="module")
def host(release, dist):
    """A machine with the packages that ours depends on, this one, and the next version of it."""
    with Machine(release, binds={dist: "/dist"}) as machine:
        machine.copy(CHECKOUT, SOURCE)
        machine.run(f"""
            set -e
            cp /dist/main-scheduler_*_all.deb /tmp/this.deb
            dpkg-deb -R /tmp/this.deb /tmp/next
            sed -i 's/^Version: .*/Version: {NEXT}/' /tmp/next/DEBIAN/control
            echo '__version__ = "{NEXT}"' >/tmp/next/usr/lib/main-scheduler/sched_runner/__init__.py
            dpkg-deb -b /tmp/next /tmp/next.deb
        """)
        yield machine


@pytest.fixture
def packaged(host):
    """With the package installed, as it is then."""
    host.forget_journal()
    host.run(f"{APT} install /tmp/this.deb")
    yield host
    host.run(f"{APT} purge main-scheduler; rm -rf /opt/main-scheduler")


def test_of_a_checkout_that_cannot_be_read_whole_no_package_is_made(builder, dist):
    page = f"{SOURCE}/docs/hosts.md"
    before = builder.run(f"ls -l --time-style=full-iso {SOURCE}/dist").stdout
    builder.run(f"chmod 0 {page} && chown root {page}")
    command = ["env", "DEB_BUILD_OPTIONS=nocheck", f"{SOURCE}/deploy/build-deb.sh"]
    built = builder.run(command, user="nobody", check=False, timeout=300)
    builder.run(f"chmod 644 {page} && chown nobody {page}")
    assert built.returncode != 0
    assert "docs/hosts.md" in built.stderr
    assert builder.run(f"ls -l --time-style=full-iso {SOURCE}/dist").stdout == before


# What one kind of package has and the other has not, or elsewhere.
PECULIAR = {
    "/usr/share/doc/main-scheduler/LICENSE",
    "/usr/share/doc/main-scheduler/changelog.gz",
    "/usr/share/doc/main-scheduler/copyright",
    "/usr/share/lintian/overrides/main-scheduler",
    "/usr/share/python3/runtime.d/main-scheduler.rtupdate",
    "/usr/share/zsh/site-functions/_main-scheduler",
    "/usr/share/zsh/vendor-completions/_main-scheduler",
}


def test_the_spec_makes_an_rpm_of_the_same_files(builder, dist):
    spec = "deploy/main-scheduler.spec"
    builder.run(f"cd {SOURCE} && rpmbuild -bb --nodeps --build-in-place --define '_topdir /tmp/rpm' {spec}")
    listed = builder.run("rpm -qlvp /tmp/rpm/RPMS/noarch/*.rpm").stdout.splitlines()
    in_rpm = {line.split()[-1] for line in listed if line.startswith("-")}
    packed = builder.run(f"dpkg-deb --fsys-tarfile {SOURCE}/dist/*.deb | tar -t").stdout.split()
    in_deb = {name.removeprefix(".") for name in packed if not name.endswith("/")}
    assert {name for name in in_rpm ^ in_deb if not name.endswith(".pyc")} == PECULIAR


def apt(machine, *words, **options):
    return machine.run(f"{APT} {' '.join(words)}", **options)


def listed(machine):
    return machine.run("systemctl list-units --all --plain --no-legend 'main-scheduler*'").stdout


def test_the_package_is_a_service_and_purged_it_leaves_nothing(host):
    before, users_before = files(host), users(host)
    said = apt(host, "install", "/tmp/this.deb").stdout
    assert "put your script at /opt/main-scheduler/main.py" in said
    service, reports = Service(host), Service(host, "reports")
    assert service.property("ActiveState") == "inactive"
    assert service.property("UnitFileState") == "disabled"
    assert host.run("systemctl --global is-enabled main-scheduler", check=False).stdout == "disabled\n"
    assert host.run(["stat", "-c", "%a %U:%G", service.settings_file]).stdout == "640 root:main-scheduler\n"
    assert host.run(["stat", "-c", "%U:%G", "/run/main-scheduler/rotate.lock"]).stdout == "main-scheduler:root\n"
    assert not host.exists("/opt/main-scheduler")

    service.script("print('hello')\n")
    reports.script("print('hello')\n")
    reports.settings(SCHED_ENV="prod")
    host.run(f"sed -i 's/^SCHED_ENV=.*/SCHED_ENV=prod/' {service.settings_file}")
    host.run("systemctl enable --now main-scheduler main-scheduler@reports main-scheduler-alert.path")
    for each in (service, reports):
        assert each.wait_for_runs(1) == ["succeeded"]
    host.run("main-scheduler status")
    host.run("main-scheduler check")
    service.drop_in("memory.conf")
    host.run("rm -r /opt/main-scheduler")  # the user's own

    apt(host, "remove", "main-scheduler")
    assert service.processes() == []
    assert host.read(service.settings_file).count("SCHED_ENV=prod") == 1
    assert host.exists(service.logs)
    apt(host, "purge", "main-scheduler")
    assert files(host) == before
    assert users(host) == users_before
    assert listed(host) == ""
    assert not host.exists("/run/main-scheduler")


def test_an_upgrade_in_the_middle_of_a_run_neither_waits_for_it_nor_cuts_it(packaged):
    service, reports = Service(packaged), Service(packaged, "reports")
    service.script(GATED)
    service.start()
    service.wait_for_run()
    pid = service.property("MainPID")
    apt(packaged, "install", "/tmp/next.deb", timeout=IN_THE_MIDDLE_OF_A_RUN)
    packaged.wait_until(lambda: "waiting" in packaged.journal("--unit=main-scheduler-upgrade"), 20, "it waits")
    assert service.property("MainPID") == pid
    assert service.is_running()
    service.end_run()
    packaged.wait_until(lambda: service.property("MainPID") not in (pid, "0"), 30, "the service is restarted")
    wait_for_end(packaged, "main-scheduler-upgrade")
    assert service.runs()[0]["outcome"] == "succeeded"
    assert packaged.run("main-scheduler --version").stdout.split()[-1] == NEXT
    assert reports.property("ActiveState") == "inactive"
    service.stop()
    apt(packaged, "install", "--reinstall", "/tmp/next.deb")
    wait_for_end(packaged, "main-scheduler-upgrade")
    assert service.property("ActiveState") == "inactive"


def test_removed_in_the_middle_of_a_run_nothing_is_left_running(packaged):
    service = Service(packaged)
    service.script(GATED)
    service.start()
    service.wait_for_run()
    apt(packaged, "install", "/tmp/next.deb", timeout=IN_THE_MIDDLE_OF_A_RUN)
    apt(packaged, "remove", "main-scheduler", timeout=60)
    assert service.processes() == []
    assert listed(packaged) == ""


def test_settings_that_were_edited_and_their_mode_survive_an_upgrade(packaged):
    service = Service(packaged)
    service.settings(SCHED_ENV="prod", SCHED_PING_URL="https://ping.example.org/secret")
    edited = packaged.read(service.settings_file)
    apt(packaged, "install", "/tmp/next.deb")
    assert packaged.read(service.settings_file) == edited
    assert packaged.run(["stat", "-c", "%a %U:%G", service.settings_file]).stdout == "640 root:main-scheduler\n"


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_beside_the_package_the_scripts_refuse_and_change_nothing(packaged, script):
    before = files(packaged)
    refused = packaged.run([f"{SOURCE}/deploy/{script}"], check=False)
    assert refused.returncode == 1
    assert "apt remove main-scheduler" in refused.stderr
    assert files(packaged) == before


@pytest.mark.parametrize("prefix", ["/usr/local", "/usr"])
def test_the_package_refuses_to_be_hidden_by_an_installation_of_install_sh(host, prefix):
    host.run(f"PREFIX={prefix} {SOURCE}/deploy/install.sh")
    before = files(host)
    refused = apt(host, "install", "/tmp/this.deb", check=False)
    assert refused.returncode != 0
    assert "./deploy/uninstall.sh" in refused.stdout + refused.stderr
    assert files(host) == before
    host.run([f"{SOURCE}/deploy/uninstall.sh"])
    apt(host, "install", "/tmp/this.deb")
    apt(host, "remove", "main-scheduler")

    # What install.sh has put there since then is in use: the purge of the package leaves it.
    host.run(f"PREFIX={prefix} {SOURCE}/deploy/install.sh")
    apt(host, "purge", "main-scheduler")
    assert host.run(["getent", "passwd", "main-scheduler"]).stdout
    host.run([f"{SOURCE}/deploy/uninstall.sh", "--purge"])
