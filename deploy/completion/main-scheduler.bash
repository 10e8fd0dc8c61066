# Completion of main-scheduler for bash. It starts no Python. Instances are those that have settings.
_main_scheduler() {
    local words="" name settings='/etc/default/main-scheduler@*' at=1
    if [[ ${COMP_WORDS[1]} = --user && $COMP_CWORD -gt 1 ]]; then settings=${XDG_CONFIG_HOME:-~/.config}/'main-scheduler@*.env' at=2; fi
    case $((COMP_CWORD - at)):${COMP_WORDS[at]}:$3 in
        0:*) words="run once check status list trigger history alert add remove --version --user" ;;
        *:run:--env-file | *:run:--main) compopt -o default; return ;;
        *:history:--since | *:add:--every | *:add:--calendar | *:add:--env) return ;;
        *:run:*) words="--env-file --main" ;;
        *:once:* | *:check:* | *:trigger:*) words="--here @" ;;
        *:status:*) words="--here --json @" ;;
        *:list:*) words="--json" ;;
        *:history:*) words="--here --json --since --failed @" ;;
        *:alert:*) words="--here --test @" ;;
        *:add:*) compopt -o default; words="--every --calendar --env --no-start" ;;
        *:remove:*) words="--now --purge @" ;;
    esac
    if [[ $words == *@ ]]; then
        words=${words%@}
        for name in $(compgen -G "$settings"); do
            name=${name%.env}
            [[ ${name#*@} =~ ^[[:alnum:]_][[:alnum:]_.-]*$ ]] && words+=" ${name#*@}"
        done
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$2")
}
complete -F _main_scheduler main-scheduler
