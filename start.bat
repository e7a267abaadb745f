@echo off
rem Finds a Python that is new enough and has launcher.py run the program. "start.bat demo" shows what it does.
rem Task Scheduler should give it nul as standard input, so that a failure does not wait for a key.
setlocal
chcp 65001 >nul
set "PYTHON="
call :try py -3
if not defined PYTHON call :try python
if not defined PYTHON goto missing
%PYTHON% "%~dp0launcher.py" run %*
set "CODE=%ERRORLEVEL%"
goto end

:missing
echo 启动失败：没有找到 Python 3.11 或更高版本，请从 https://www.python.org/downloads/ 安装（勾选 Add python.exe to PATH），再启动一次
set "CODE=2"
goto end

:try
%* -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul || exit /b 1
set "PYTHON=%*"
exit /b 0

:end
if "%CODE%"=="0" exit /b 0
rem Opened by a double click, the window would close before anybody could read why.
setlocal EnableDelayedExpansion
set "OPENED_BY=!cmdcmdline!"
if /i not "!OPENED_BY:%~nx0=!"=="!OPENED_BY!" pause
exit /b %CODE%
